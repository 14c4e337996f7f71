"""Door (b): python-dracclient's WS-Management client (unmodified): no Content-Type, no envelope size, pulls until a context is empty.
It verifies no certificate. It has no Get: one object is read by a query."""
import urllib3
from dracclient.wsman import Client
from dracclient.exceptions import WSManInvalidResponse
from steps import args, Steps
urllib3.disable_warnings()
a = args(5985); t = Steps('dracclient', a.debug)
conn = lambda pw: Client(a.host, a.user, pw, port=a.port, protocol=a.scheme, ssl_retries=1)
c = conn(a.password)
BASE = 'http://schemas.microsoft.com/wbem/wsman/1/wmi/' + a.namespace; URI = BASE + '/SMS_Package'
CIM = 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/SMS_Package'
def ids(root, uri=URI): return [e.text for e in root.iter('{%s}PackageID' % uri)]
def enum(uri, **more):
    found = ids(c.enumerate(uri, **more), uri); assert a.package in found and len(set(found)) == len(found), found; return '%d items' % len(found)
def by_hand():
    r = c.enumerate(URI, optimization=False, auto_pull=False); assert not ids(r); context, found = c._enum_context(r), []
    while context is not None: r = c.pull(URI, context, max_elems=1); found += ids(r); context = c._enum_context(r)
    assert a.package in found; return '%d items' % len(found)
def query(where):
    found = ids(c.enumerate(BASE + '/*', filter_query='select * from SMS_Package where ' + where, filter_dialect='wql')); return found
def one(): assert query("PackageID = '%s'" % a.package) == [a.package]
def none(): assert query("PackageID = 'NOPE0000'") == []
def invoke(uri, method='RefreshPkgSource', more={}, **selectors):
    r = c.invoke(uri, method, dict(selectors, PackageID=a.package), more); v = r.find('.//{%s}ReturnValue' % uri); assert v is not None and v.text == '0'
def refused(e): return isinstance(e, WSManInvalidResponse) and '500' in str(e)
t.run('enumerate', lambda: enum(URI)); t.run('enumerate, one at a time', lambda: enum(URI, max_elems=1)); t.run("enumerate by CIM's URI", lambda: enum(CIM))
t.run('enumerate and pull by hand', by_hand); t.run('get by query', one); t.run('query without result', none)
t.run('method', lambda: invoke(URI)); t.run("method by CIM's URI", lambda: invoke(CIM, __cimnamespace=a.namespace))
t.run('method with arrays', lambda: invoke(URI, 'AddDistributionPoints', {'SiteCode': ['XYZ'], 'NALPath': [a.nal]}))
t.expect_error('query in CQL', lambda: c.enumerate(BASE + '/*', filter_query='select * from SMS_Package'), refused)
t.expect_error('no such class', lambda: c.enumerate(BASE + '/SMS_NoSuchClass'), refused)
t.expect_error('no such method', lambda: invoke(URI, 'NoSuchMethod'), refused)
t.expect_error('wrong password', lambda: conn(a.password + 'x').enumerate(URI), lambda e: isinstance(e, WSManInvalidResponse) and '401' in str(e))
t.done()
