"""Door (c): the operations that cimxml_pywbem.py leaves out, through pywbem (unmodified). The site has the package --package on at least one DP."""
import warnings, pywbem
from steps import args, Steps
a = args(5988); t = Steps('operations', a.debug)
ssl = dict(no_verification=a.insecure, ca_certs=a.ca) if a.scheme == 'https' else {}
URL = '%s://%s:%d' % (a.scheme, a.host, a.port)
c = pywbem.WBEMConnection(URL, (a.user, a.password), default_namespace=a.namespace, timeout=60, use_pull_operations=True, **ssl)
path = lambda pid: pywbem.CIMInstanceName('SMS_Package', {'PackageID': pid}, namespace=a.namespace)
P = path(a.package); SITE = a.namespace[-3:]
code = lambda *k: (lambda e: isinstance(e, pywbem.CIMError) and e.status_code in k)
ids = lambda rows: sorted(r['PackageID'] for r in rows)
def pulls():
    whole = ids(c.EnumerateInstances('SMS_Package')); assert len(whole) >= 2, whole
    r = c.OpenEnumerateInstances('SMS_Package', MaxObjectCount=0); assert r.instances == [] and not r.eos and r.context
    got = []
    while not r.eos:
        r = c.PullInstancesWithPath(r.context, MaxObjectCount=1); assert len(r.instances) <= 1; got += r.instances
    assert ids(got) == whole and all(i.path.host and i.path.namespace == a.namespace for i in got)
    r = c.OpenEnumerateInstancePaths('SMS_Package', MaxObjectCount=1); assert len(r.paths) == 1 and not r.eos
    s = c.PullInstancePaths(r.context, MaxObjectCount=1000); assert s.eos and len(r.paths) + len(s.paths) == len(whole)
    r = c.OpenQueryInstances('WQL', "SELECT PackageID FROM SMS_Package", ReturnQueryResultClass=True, MaxObjectCount=1)
    assert list(r.query_result_class.properties) == ['PackageID'] and list(r.instances[0].keys()) == ['PackageID']
    s = c.PullInstances(r.context, MaxObjectCount=1000); assert s.eos and ids(r.instances + s.instances) == whole
    assert ids(c.IterQueryInstances('WQL', 'SELECT * FROM SMS_Package', MaxObjectCount=1).generator) == whole
    return '%d packages' % len(whole)
def contexts():
    r = c.OpenEnumerateInstances('SMS_Package', MaxObjectCount=1); assert not r.eos
    for wrong in (c.PullInstancePaths, c.PullInstances):
        try: wrong(r.context, MaxObjectCount=1); raise AssertionError('read by the wrong operation')
        except pywbem.CIMError as e: assert e.status_code == 21, e
    try: c.PullInstancesWithPath((r.context[0], 'root/sms'), MaxObjectCount=1); raise AssertionError('another namespace')
    except pywbem.CIMError as e: assert e.status_code == 21, e
    c.CloseEnumeration(r.context)
    try: c.PullInstancesWithPath(r.context, MaxObjectCount=1); raise AssertionError('it was closed')
    except pywbem.CIMError as e: assert e.status_code == 21, e
def associated():
    dps = c.Associators(P, ResultClass='SMS_DistributionPoint'); assert dps and all(d['PackageID'] == a.package for d in dps)
    assert all(d.path.keybindings['ServerNALPath'] == d['ServerNALPath'] for d in dps)
    names = c.AssociatorNames(P, ResultClass='SMS_DistributionPoint'); assert sorted(map(str, names)) == sorted(str(d.path) for d in dps)
    sites = c.Associators(P, AssocClass='SMS_PackageToSourceSite_a', Role='ownedPackage', ResultRole='pkgSourcesite', PropertyList=['SiteCode'])
    assert [list(s.items()) for s in sites] == [[('SiteCode', SITE)]], sites
    assert c.Associators(P, Role='nothing') == []
    refs = c.References(P, ResultClass='SMS_PkgToPkgServer_a'); assert len(refs) == len(dps)
    assert all(r['package'].keybindings == P.keybindings and r['pkgServer'].classname == 'SMS_DistributionPoint' for r in refs)
    assert len(c.ReferenceNames(P, ResultClass='SMS_PkgToPkgServer_a', Role='package')) == len(refs)
    back = c.Associators(dps[0].path, ResultClass='SMS_Package'); assert ids(back) == [a.package]
    assert len(list(c.IterAssociatorInstances(P, ResultClass='SMS_DistributionPoint', MaxObjectCount=1))) == len(dps)
    assert len(list(c.IterAssociatorInstancePaths(P, ResultClass='SMS_DistributionPoint', MaxObjectCount=1))) == len(dps)
    assert len(list(c.IterReferenceInstances(P, ResultClass='SMS_PkgToPkgServer_a', MaxObjectCount=1))) == len(refs)
    assert len(list(c.IterReferenceInstancePaths(P, ResultClass='SMS_PkgToPkgServer_a', MaxObjectCount=1))) == len(refs)
    assert c._use_assoc_inst_pull_operations and c._use_ref_inst_pull_operations
    return '%d distribution points' % len(dps)
def classes():
    names = c.EnumerateClassNames(DeepInheritance=True); assert 'SMS_Package' in names and 'SMS_BaseClass' in names and len(names) == len(set(names))
    below = c.EnumerateClassNames(ClassName='SMS_PackageBaseclass'); assert 'SMS_Package' in below and 'SMS_PackageBaseclass' not in below
    roots = c.EnumerateClassNames(); assert 'SMS_BaseClass' in roots and 'SMS_Package' not in roots
    own = c.GetClass('SMS_Package', LocalOnly=True, IncludeQualifiers=False); whole = c.GetClass('sms_package', LocalOnly=False, IncludeClassOrigin=True)
    assert whole.classname == 'SMS_Package' and whole.superclass == 'SMS_PackageBaseclass' and set(own.properties) < set(whole.properties)
    assert not own.qualifiers and whole.properties['PackageID'].class_origin == 'SMS_PackageBaseclass' and whole.properties['PackageID'].propagated
    assert whole.properties['RefreshSchedule'].qualifiers['EmbeddedInstance'].value == 'SMS_ScheduleToken'
    p = whole.methods['AddDistributionPoints'].parameters; assert p['SiteCode'].qualifiers['In'].value is True
    only = c.GetClass('SMS_Package', LocalOnly=False, PropertyList=['Name']); assert list(only.properties) == ['Name']
    q = {x.name: x for x in c.EnumerateQualifiers()}; assert q['Key'].type == 'boolean' and q['Key'].scopes['PROPERTY'] and q['EmbeddedInstance'].scopes['PARAMETER']
    assert c.GetQualifier('key').name == 'Key'
    all_ = c.EnumerateClasses(DeepInheritance=True, LocalOnly=False, IncludeQualifiers=True, IncludeClassOrigin=True); assert [k.classname for k in all_] == names
    return '%d classes' % len(names)
def instances():
    i = c.EnumerateInstances('SMS_Package', IncludeClassOrigin=True, PropertyList=['Name', 'nothing'])[0]
    assert list(i.keys()) == ['Name'] and i.properties['Name'].class_origin == 'SMS_PackageBaseclass' and i.path.keybindings['PackageID']
    assert not list(c.EnumerateInstances('SMS_Package', PropertyList=[])[0].keys())
    base = c.EnumerateInstances('SMS_PackageBaseclass', DeepInheritance=False); assert {x.classname for x in base} == {'SMS_Package'} and any(x['PackageID'] == a.package for x in base)
    i = c.GetInstance(pywbem.CIMInstanceName('sms_PACKAGE', {'packageid': a.package.lower()}, namespace=a.namespace.upper())); assert i.classname == 'SMS_Package' and i['PackageID'] == a.package
    assert isinstance(i['SourceDate'], pywbem.CIMDateTime), type(i['SourceDate'])
    dp = c.EnumerateInstances('SMS_DistributionPoint')[0]; assert c.GetInstance(dp.path)['ServerNALPath'] == dp['ServerNALPath']
def queries():
    one = c.ExecQuery('WQL', "SELECT Name FROM SMS_Package WHERE PackageID = '%s'" % a.package)[0]; assert list(one.keys()) == ['Name'] and one.path.keybindings == P.keybindings
    n = c.ExecQuery('WQL', 'SELECT COUNT(*) FROM SMS_Package'); assert len(n) == 1 and n[0]['Count'] >= 1 and not n[0].path.keybindings, n
    j = c.ExecQuery('WQL', "SELECT p.Name, d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d ON p.PackageID = d.PackageID WHERE p.PackageID = '%s'" % a.package)
    assert j and j[0]['p']['Name'] == one['Name'] and j[0]['d']['ServerNALPath'], j
    assert ids(c.ExecQuery('wql', 'SELECT DISTINCT PackageID FROM SMS_Package')) == ids(c.EnumerateInstances('SMS_Package'))
    assert c.ExecQuery('WQL', 'ASSOCIATORS OF {SMS_Package.PackageID="%s"} WHERE ResultClass = SMS_DistributionPoint' % a.package)
def namespaces():
    rows = c.EnumerateInstances('CIM_Namespace', namespace='interop'); assert {r['Name'] for r in rows} == {a.namespace, 'root/sms', 'interop'}, rows
    assert c.GetInstance(rows[0].path)['Name'] == rows[0]['Name'] and c.EnumerateClassNames(namespace='root/interop') == ['CIM_Namespace']
    with warnings.catch_warnings():
        warnings.simplefilter('ignore'); assert set(pywbem.WBEMServer(c).namespaces) == {a.namespace, 'root/sms', 'interop'}
    here = [r for r in c.EnumerateInstances('SMS_ProviderLocation', namespace='root/sms') if r['ProviderForLocalSite']]; assert here[0]['SiteCode'] == SITE
    assert c.GetInstance(here[0].path)['Machine'] == here[0]['Machine']
def written():
    n = c.CreateInstance(pywbem.CIMInstance('SMS_Package', {'Name': '<script>alert("&")</script> ]]>', 'PackageID': 'XXX00001'})); assert n.keybindings['PackageID'] != 'XXX00001'
    try:
        i = c.GetInstance(n); assert i['Name'] == '<script>alert("&")</script> ]]>', i['Name']
        i['Description'] = 'whole'; i['SourceVersion'] = pywbem.Uint32(99); c.ModifyInstance(i)      # what only the site writes is ignored in a whole object
        j = c.GetInstance(n); assert j['Description'] == 'whole' and j['SourceVersion'] != 99
        for p, k in ((pywbem.CIMProperty('SourceVersion', pywbem.Uint32(7)), 4), (pywbem.CIMProperty('Priority', 'two'), 13), (pywbem.CIMProperty('Nothing', 'x'), 12)):
            m = pywbem.CIMInstance('SMS_Package', path=n, properties=[p])
            try: c.ModifyInstance(m, PropertyList=[p.name]); raise AssertionError('%s was taken' % p.name)
            except pywbem.CIMError as e: assert e.status_code == k, (p.name, e)
        m = pywbem.CIMInstance('SMS_Package', path=n, properties=[pywbem.CIMProperty('Name', 'x')])
        try: c.ModifyInstance(m, PropertyList=['Description']); raise AssertionError('a property that was not sent')
        except pywbem.CIMError as e: assert e.status_code == 12, e
    finally: c.DeleteInstance(n)
def details():
    try: c.InvokeMethod('RefreshPkgSource', path('NOPE0000')); raise AssertionError('no error')
    except pywbem.CIMError as e:
        assert e.status_code == 6 and e.status_description.startswith('NOT_FOUND: ') and len(e.instances) == 1, e
        s = e.instances[0]; assert s.classname == 'SMS_ExtendedStatus' and s['CauseInfo'] == 'NOT_FOUND' and s['ErrorCode'] and s['Operation'] == 'ExecMethod', s.items()
        assert s['ParameterInfo'] == 'SMS_Package.PackageID="NOPE0000"' and s['StatusCode'] == 0x80041002, s.items()
    try: c.ExecQuery('WQL', 'SELECT * FROM')
    except pywbem.CIMError as e: assert e.instances[0].classname == '__ExtendedStatus' and 'column' in e.status_description, e
    rv, out = c.InvokeMethod('GetSiteID', pywbem.CIMClassName('SMS_Identification', namespace=a.namespace)); assert rv == 0 and out, out
    return out
more = [c.CreateInstance(pywbem.CIMInstance('SMS_Package', {'Name': 'p%d' % n})) for n in range(3)]
t.run('pulled enumerations', pulls); t.run('contexts', contexts); t.run('associations', associated); t.run('classes', classes); t.run('instances', instances)
t.run('queries', queries); t.run('namespaces', namespaces); t.run('writing', written); t.run('details of errors', details)
no = lambda name, fn, *k: t.expect_error(name, fn, code(*k))
no('class of GetClass', lambda: c.GetClass('SMS_NoSuchClass'), 6); no('class of EnumerateClasses', lambda: c.EnumerateClassNames(ClassName='SMS_NoSuchClass'), 5)
no('association class', lambda: c.Associators(P, AssocClass='SMS_NoSuchClass'), 4); no('associations of nothing', lambda: c.Associators(path('NOPE0000')), 6)
no('parameter of a method', lambda: c.InvokeMethod('RefreshPkgSource', P, Params=[('Nothing', 'x')]), 4); no('missing parameter', lambda: c.InvokeMethod('AddDistributionPoints', P), 4)
no('type of a parameter', lambda: c.InvokeMethod('AddDistributionPoints', P, Params=[('SiteCode', SITE), ('NALPath', a.nal)]), 13)
no('context of nobody', lambda: c.PullInstancesWithPath(('0' * 32, a.namespace), MaxObjectCount=1), 21)
no('too many objects', lambda: c.OpenEnumerateInstances('SMS_Package', MaxObjectCount=2**31), 4); no('too long a timeout', lambda: c.OpenEnumerateInstances('SMS_Package', OperationTimeout=3600), 22)
no('filter', lambda: c.OpenEnumerateInstances('SMS_Package', FilterQueryLanguage='DMTF:FQL', FilterQuery='x'), 25); no('continue on error', lambda: c.OpenEnumerateInstances('SMS_Package', ContinueOnError=True), 26)
no('writing a class', lambda: c.CreateClass(pywbem.CIMClass('SMS_Mine')), 7); no('qualifier', lambda: c.GetQualifier('Nothing'), 6)
no('class of another namespace', lambda: c.EnumerateInstances('SMS_Package', namespace='root/sms'), 5)
for p in more: c.DeleteInstance(p)
t.done()
