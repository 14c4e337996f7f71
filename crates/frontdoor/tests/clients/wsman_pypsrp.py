"""Door (b): pypsrp's WSMan class (unmodified) driving CIM/WMI resources. --auth basic needs --scheme https or sends with
encryption='never' on http; ntlm/negotiate on http sends SPNEGO-sealed multipart bodies (encryption='auto')."""
import uuid, xml.etree.ElementTree as ET
from pypsrp.wsman import WSMan, SelectorSet, OptionSet, NAMESPACES as N
from pypsrp.exceptions import WSManFaultError, AuthenticationError
from steps import args, Steps
a = args(5985, encryption=dict(default='', help="pypsrp's: auto, always, never")); t = Steps('pypsrp', a.debug)
enc = a.encryption or ('never' if a.auth == 'basic' else 'auto')
def conn(pw):
    user = ('%s\\%s' % (a.domain, a.user)) if a.domain else a.user
    return WSMan(a.host, port=a.port, username=user, password=pw, ssl=a.scheme == 'https', auth=a.auth,
                 cert_validation=a.verify, encryption=enc, operation_timeout=20)
w = conn(a.password)
BASE = 'http://schemas.microsoft.com/wbem/wsman/1/wmi/' + a.namespace
URI = BASE + '/SMS_Package'
E, W, X = N['wsen'], N['wsman'], '{http://www.w3.org/2001/XMLSchema-instance}'
WQL = 'http://schemas.microsoft.com/wbem/wsman/1/WQL'
def sel(pid):
    s = SelectorSet(); s.add_option('PackageID', pid); return s
def val(node, name):
    e = node.find('{%s}%s' % (URI, name)); return None if e is None or e.get(X + 'nil') == 'true' else (e.text or '')
def enumerate_(uri, wql=None, optimize=True, max_elements=2):
    en = ET.Element('{%s}Enumerate' % E)
    if optimize:
        ET.SubElement(en, '{%s}OptimizeEnumeration' % W); ET.SubElement(en, '{%s}MaxElements' % W).text = str(max_elements)
    if wql:
        ET.SubElement(en, '{%s}Filter' % W, Dialect=WQL).text = wql
    b = w.enumerate(uri, en); out, pulls = [], 0
    r = b.find('{%s}EnumerateResponse' % E); assert r is not None, 'no EnumerateResponse'
    while True:
        for it in r.findall('{%s}Items' % W) + r.findall('{%s}Items' % E):
            out += list(it)
        end = r.find('{%s}EndOfSequence' % W) is not None or r.find('{%s}EndOfSequence' % E) is not None
        ctx = r.find('{%s}EnumerationContext' % E)
        if end or ctx is None or not ctx.text:
            assert end, 'no EndOfSequence'; return out, pulls
        p = ET.Element('{%s}Pull' % E); ET.SubElement(p, '{%s}EnumerationContext' % E).text = ctx.text
        ET.SubElement(p, '{%s}MaxElements' % E).text = str(max_elements)
        r = w.pull(uri, p).find('{%s}PullResponse' % E); pulls += 1; assert pulls < 1000
def invoke(pid, method, params=()):
    el = ET.Element('{%s}%s_INPUT' % (URI, method))
    for k, v in params:
        ET.SubElement(el, '{%s}%s' % (URI, k)).text = v     # an array: the element repeated
    r = w.invoke(URI + '/' + method, URI, el, selector_set=sel(pid))
    act = r.find('s:Header/wsa:Action', namespaces=N); assert act.text == URI + '/' + method + 'Response', act.text
    o = r.find('s:Body', namespaces=N).find('{%s}%s_OUTPUT' % (URI, method)); assert o is not None, 'no %s_OUTPUT' % method
    return o
def enum_opt():
    r, p = enumerate_(URI); assert r[0].tag == '{%s}SMS_Package' % URI, r[0].tag
    assert any(val(i, 'PackageID') == a.package for i in r); return '%d items, %d pulls' % (len(r), p)
def enum_plain():
    r, p = enumerate_(URI, optimize=False); assert p >= 1 and r; return '%d items, %d pulls' % (len(r), p)
def query():
    r, _ = enumerate_(BASE + '/*', "select * from SMS_Package where PackageID = '%s'" % a.package); assert len(r) == 1 and val(r[0], 'PackageID') == a.package
def project():
    r, _ = enumerate_(BASE + '/*', "select Name,PackageID from SMS_Package where PackageID = '%s'" % a.package); assert len(r) == 1, len(r)
    return 'item element <%s>' % r[0].tag.split('}')[-1]     # Windows: w:XmlFragment for a projection
def get():
    b = w.get(URI, selector_set=sel(a.package)); i = b[0]; assert i.tag == '{%s}SMS_Package' % URI, i.tag; assert val(i, 'PackageID') == a.package
    assert (i.get(X + 'type') or '').endswith('SMS_Package_Type'), i.attrib
def identify():
    import requests
    r = requests.post('%s://%s:%d/wsman' % (a.scheme, a.host, a.port), verify=False, headers={'Content-Type': 'application/soap+xml;charset=UTF-8', 'WSMANIDENTIFY': 'unauthenticated'},
        data='<s:Envelope xmlns:s="%s" xmlns:i="%s"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>' % (N['s'], N['wsmid']))
    assert r.status_code == 200, r.status_code; e = ET.fromstring(r.content).find('.//wsmid:IdentifyResponse/wsmid:ProtocolVersion', namespaces=N); assert e is not None and e.text == N['wsman']
def refresh():
    o = invoke(a.package, 'RefreshPkgSource'); assert val(o, 'ReturnValue') == '0'
def addp():
    o = invoke(a.package, 'AddDistributionPoints', [('SiteCode', 'XYZ'), ('NALPath', a.nal), ('SiteCode', 'XYZ'), ('NALPath', a.nal)]); assert val(o, 'ReturnValue') == '0'
def put():
    i = w.get(URI, selector_set=sel(a.package))[0]; e = i.find('{%s}Description' % URI)
    new = 'put ' + uuid.uuid4().hex[:6]
    if e is None: e = ET.SubElement(i, '{%s}Description' % URI)
    e.attrib.pop(X + 'nil', None); e.text = new
    w.put(URI, i, selector_set=sel(a.package)); assert val(w.get(URI, selector_set=sel(a.package))[0], 'Description') == new
def create_delete():
    i = ET.Element('{%s}SMS_Package' % URI)
    for k, v in (('Name', 'made by pypsrp'), ('PkgSourceFlag', '2'), ('PkgSourcePath', r'\\srv\src')): ET.SubElement(i, '{%s}%s' % (URI, k)).text = v
    b = w.create(URI, i)
    s = b.find('wst:ResourceCreated/wsa:ReferenceParameters/wsman:SelectorSet', namespaces=N); assert s is not None, ET.tostring(b)[:200]
    pid = [x.text for x in s if x.get('Name') == 'PackageID'][0]
    assert val(w.get(URI, selector_set=sel(pid))[0], 'Name') == 'made by pypsrp'
    w.delete(URI, selector_set=sel(pid))
    try: w.get(URI, selector_set=sel(pid)); raise AssertionError('still there')
    except WSManFaultError: return pid
fault = lambda e: isinstance(e, WSManFaultError)
t.run('identify (unauthenticated)', identify); t.run('enumerate, optimized', enum_opt); t.run('enumerate + pull', enum_plain)
t.run('WQL select *', query); t.run('WQL projection', project); t.run('get', get)
t.run('method without parameters', refresh); t.run('method with array parameters', addp); t.run('put', put); t.run('create, delete', create_delete)
t.expect_error('get: no such instance', lambda: w.get(URI, selector_set=sel('NOPE0000')), fault)
t.expect_error('get: no such class', lambda: w.get(BASE + '/SMS_NoSuchClass', selector_set=sel('x')), fault)
t.expect_error('no such method', lambda: invoke(a.package, 'NoSuchMethod'), fault)
t.expect_error('bad WQL', lambda: enumerate_(BASE + '/*', 'selekt'), fault)
wrong = AuthenticationError
if a.auth == 'kerberos': from krb5 import Krb5Error as wrong   # it is the KDC that refuses
t.expect_error('wrong password', lambda: conn(a.password + 'x').get(URI, selector_set=sel(a.package)), lambda e: isinstance(e, wrong))
t.done()
