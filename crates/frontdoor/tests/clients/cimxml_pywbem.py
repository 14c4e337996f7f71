"""Door (c): pywbem (unmodified) against a CIM-XML server."""
import pywbem
from steps import args, Steps
a = args(5988); t = Steps('pywbem', a.debug)
ssl = dict(no_verification=a.insecure, ca_certs=a.ca) if a.scheme == 'https' else {}
c = pywbem.WBEMConnection('%s://%s:%d' % (a.scheme, a.host, a.port), (a.user, a.password),
                          default_namespace=a.namespace, timeout=20, **ssl)
path = lambda pid: pywbem.CIMInstanceName('SMS_Package', {'PackageID': pid}, namespace=a.namespace)

def enum():
    r = c.EnumerateInstances('SMS_Package'); assert r and r[0].path.keybindings['PackageID']
    assert any(i['PackageID'] == a.package for i in r); return '%d instances' % len(r)
def names():
    r = c.EnumerateInstanceNames('SMS_Package'); assert path(a.package).keybindings in [x.keybindings for x in r]
def get():
    i = c.GetInstance(path(a.package)); assert i.classname == 'SMS_Package' and i['PackageID'] == a.package
    assert isinstance(i['SourceVersion'], pywbem.Uint32), type(i['SourceVersion']); return i['Name']
def proplist():
    i = c.GetInstance(path(a.package), PropertyList=['Name']); assert list(i.keys()) == ['Name'], i.keys()
def getclass():
    k = c.GetClass('SMS_Package', LocalOnly=False, IncludeQualifiers=True)
    assert 'RefreshPkgSource' in k.methods and k.methods['RefreshPkgSource'].return_type == 'sint32'
    assert k.properties['PackageID'].qualifiers['key'].value is True
    p = k.methods['AddDistributionPoints'].parameters; assert p['NALPath'].type == 'string' and p['NALPath'].is_array
def query():
    r = c.ExecQuery('WQL', "SELECT * FROM SMS_Package WHERE PackageID = '%s'" % a.package)
    assert len(r) == 1 and r[0]['PackageID'] == a.package
def pulled():
    r = list(c.IterEnumerateInstances('SMS_Package', MaxObjectCount=1)); assert any(i['PackageID'] == a.package for i in r)
    return 'pull used' if c._use_enum_inst_pull_operations else 'fell back to EnumerateInstances'
def refresh():
    rv, out = c.InvokeMethod('RefreshPkgSource', path(a.package)); assert rv == 0 and isinstance(rv, pywbem.Sint32), (rv, type(rv)); assert not out
def addp():
    rv, out = c.InvokeMethod('AddDistributionPoints', path(a.package), Params=[('SiteCode', ['XYZ']), ('NALPath', [a.nal])]); assert rv == 0
def embedded():
    # array of embedded instances: SMS_Package.RefreshSchedule is SMS_ScheduleToken[]
    i = c.GetInstance(path(a.package)); tok = pywbem.CIMInstance('SMS_ST_RecurInterval', {'DaySpan': pywbem.Uint32(1), 'IsGMT': False})
    m = pywbem.CIMInstance('SMS_Package', path=path(a.package), properties=[pywbem.CIMProperty('RefreshSchedule', [tok], type='string', embedded_object='instance')])
    c.ModifyInstance(m, PropertyList=['RefreshSchedule'])
    try:
        j = c.GetInstance(path(a.package)); v = j['RefreshSchedule']; assert v and isinstance(v[0], pywbem.CIMInstance) and v[0]['DaySpan'] == 1, v
    finally:    # back to NULL: sblim wbemcli cannot read an instance that has an EmbeddedObject attribute
        m = pywbem.CIMInstance('SMS_Package', path=path(a.package), properties=[pywbem.CIMProperty('RefreshSchedule', None, type='string', is_array=True, embedded_object='instance')])
        c.ModifyInstance(m, PropertyList=['RefreshSchedule'])
def crud():
    n = c.CreateInstance(pywbem.CIMInstance('SMS_Package', {'Name': 'made by pywbem', 'PkgSourceFlag': pywbem.Uint32(2), 'PkgSourcePath': r'\\srv\src'}))
    pid = n.keybindings['PackageID']
    try:
        i = c.GetInstance(n); assert i['Name'] == 'made by pywbem'
        i['Name'] = 'renamed'; c.ModifyInstance(i, PropertyList=['Name']); assert c.GetInstance(n)['Name'] == 'renamed'
    finally:
        c.DeleteInstance(n)
    try:
        c.GetInstance(n); raise AssertionError('still there')
    except pywbem.CIMError as e:
        assert e.status_code == pywbem.CIM_ERR_NOT_FOUND, e
    return pid
code = lambda *k: (lambda e: isinstance(e, pywbem.CIMError) and e.status_code in k)
t.run('enumerate instances', enum); t.run('enumerate instance names', names); t.run('get instance', get)
t.run('get with property list', proplist); t.run('get class', getclass); t.run('WQL query', query)
t.run('open/pull or fallback', pulled); t.run('method without parameters', refresh); t.run('method with array parameters', addp)
t.run('array of embedded instances', embedded); t.run('create, modify, delete', crud)
t.expect_error('get: no such instance', lambda: c.GetInstance(path('NOPE0000')), code(pywbem.CIM_ERR_NOT_FOUND))
t.expect_error('no such class', lambda: c.EnumerateInstances('SMS_NoSuchClass'), code(pywbem.CIM_ERR_INVALID_CLASS))
t.expect_error('no such namespace', lambda: c.EnumerateInstances('SMS_Package', namespace='root/nope'), code(pywbem.CIM_ERR_INVALID_NAMESPACE))
t.expect_error('no such method', lambda: c.InvokeMethod('NoSuchMethod', path(a.package)), code(pywbem.CIM_ERR_METHOD_NOT_FOUND, pywbem.CIM_ERR_METHOD_NOT_AVAILABLE))
t.expect_error('method: no such instance', lambda: c.InvokeMethod('RefreshPkgSource', path('NOPE0000')), code(pywbem.CIM_ERR_NOT_FOUND))
t.expect_error('bad query', lambda: c.ExecQuery('WQL', 'SELEKT x'), code(pywbem.CIM_ERR_INVALID_QUERY))
t.expect_error('unknown query language', lambda: c.ExecQuery('XQ', 'x'), code(pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED))
bad = pywbem.WBEMConnection('%s://%s:%d' % (a.scheme, a.host, a.port), (a.user, a.password + 'x'), default_namespace=a.namespace, **ssl)
t.expect_error('wrong password', lambda: bad.EnumerateInstanceNames('SMS_Package'), lambda e: isinstance(e, pywbem.AuthError))
t.done()
