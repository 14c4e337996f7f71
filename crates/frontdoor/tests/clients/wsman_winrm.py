"""Door (b): pywinrm's protocol layer (unmodified): its headers and its transport, with bodies of CIM operations."""
import uuid, xml.etree.ElementTree as ET
import xmltodict
from winrm.protocol import Protocol
from winrm.exceptions import InvalidCredentialsError, WSManFaultError
from steps import args, Steps
a = args(5985, encryption=dict(default='', help="pywinrm's: auto, always, never")); t = Steps('pywinrm', a.debug)
enc = a.encryption or ('never' if a.auth == 'basic' else 'auto')
def conn(pw):
    user = ('%s\\%s' % (a.domain, a.user)) if a.domain else a.user
    return Protocol('%s://%s:%d/wsman' % (a.scheme, a.host, a.port), transport=a.auth, username=user, password=pw, ca_trust_path=a.ca or 'legacy_requests',
                    server_cert_validation='ignore' if a.insecure else 'validate', message_encryption=enc, proxy=None)
p = conn(a.password)
BASE = 'http://schemas.microsoft.com/wbem/wsman/1/wmi/' + a.namespace; URI = BASE + '/SMS_Package'
T, E = 'http://schemas.xmlsoap.org/ws/2004/09/transfer', 'http://schemas.xmlsoap.org/ws/2004/09/enumeration'
NS = dict(s='http://www.w3.org/2003/05/soap-envelope', a='http://schemas.xmlsoap.org/ws/2004/08/addressing', w='http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd', n=E, p=URI)
def send(conn, action, uri, body, selectors=None):
    mid = uuid.uuid4(); head = conn.build_wsman_header(action, uri, message_id=mid)
    if selectors: head['env:Header']['w:SelectorSet'] = {'w:Selector': [{'@Name': k, '#text': v} for k, v in selectors.items()]}
    head['env:Body'] = body
    root = ET.fromstring(conn.send_message(xmltodict.unparse({'env:Envelope': head})))
    assert root.findtext('s:Header/a:RelatesTo', namespaces=NS) == 'uuid:%s' % mid
    return root.find('s:Body', namespaces=NS)
KEY = {'PackageID': a.package}
def get():
    i = send(p, T + '/Get', URI, {}, KEY)[0]; assert i.findtext('p:PackageID', namespaces=NS) == a.package, ET.tostring(i)[:200]
def enum(wql=None):
    body = {'n:Enumerate': {'w:OptimizeEnumeration': None, 'w:MaxElements': '1'}}
    if wql: body['n:Enumerate']['w:Filter'] = {'@Dialect': 'http://schemas.microsoft.com/wbem/wsman/1/WQL', '#text': wql}
    uri = BASE + '/*' if wql else URI
    r = send(p, E + '/Enumerate', uri, body)[0]; found = [x for i in r.findall('w:Items', NS) for x in i]
    while r.find('w:EndOfSequence', NS) is None and r.find('n:EndOfSequence', NS) is None:
        c = r.findtext('n:EnumerationContext', namespaces=NS)
        r = send(p, E + '/Pull', uri, {'n:Pull': {'n:EnumerationContext': c, 'n:MaxElements': '1'}})[0]; found += [x for i in r.findall('n:Items', NS) for x in i]
    assert a.package in [x.findtext('p:PackageID', namespaces=NS) for x in found]; return '%d items' % len(found)
def invoke(conn=p, method='RefreshPkgSource'):
    o = send(conn, URI + '/' + method, URI, {'p:%s_INPUT' % method: {'@xmlns:p': URI}}, KEY)[0]
    assert o.tag == '{%s}%s_OUTPUT' % (URI, method), o.tag; assert o.findtext('p:ReturnValue', namespaces=NS) == '0'
def faulty(e): return isinstance(e, WSManFaultError) and e.fault_code == 's:Sender' and e.wsman_fault_code
t.run('get', get); t.run('enumerate and pull', enum); t.run('query', lambda: enum("select * from SMS_Package where PackageID = '%s'" % a.package)); t.run('method', invoke)
t.expect_error('no such instance', lambda: send(p, T + '/Get', URI, {}, {'PackageID': 'NOPE0000'}), faulty)
t.expect_error('no such method', lambda: invoke(p, 'NoSuchMethod'), faulty)
t.expect_error('shells are not offered', p.open_shell, faulty)
t.expect_error('wrong password', lambda: invoke(conn(a.password + 'x')), lambda e: isinstance(e, InvalidCredentialsError))
t.done()
