"""Door (b): the first hour with a package, as the SDK shows it, through pypsrp's WSMan class (unmodified). The site has one DP; --source is a
folder beneath a source root of the site, on this machine, that holds at least one file."""
import os, time, xml.etree.ElementTree as ET
from pypsrp.wsman import WSMan, SelectorSet, NAMESPACES as N
from pypsrp.exceptions import WSManFaultError
from steps import args, Steps
a = args(5985, source=dict(required=True)); t = Steps('first hour', a.debug)
w = WSMan(a.host, port=a.port, username=a.user, password=a.password, ssl=a.scheme == 'https', auth=a.auth, cert_validation=a.verify,
          encryption='never' if a.auth == 'basic' else 'auto', operation_timeout=60)
ROOT = 'http://schemas.microsoft.com/wbem/wsman/1/wmi/'; BASE = ROOT + a.namespace
E, W, A, B, X = N['wsen'], N['wsman'], N['wsa'], 'http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd', '{http://www.w3.org/2001/XMLSchema-instance}'
DIALECT = dict(wql='http://schemas.microsoft.com/wbem/wsman/1/WQL', selectors='http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter',
               association='http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter')
def sel(keys):
    s = SelectorSet()
    for k, v in keys.items(): s.add_option(k, v)
    return s
def val(node, name):
    e = [x for x in node if x.tag.split('}')[1] == name]
    return None if not e or e[0].get(X + 'nil') == 'true' else (e[0].text or '')
def enum(uri, mode=None, dialect=None, query=None, fill=None):
    en = ET.Element('{%s}Enumerate' % E); ET.SubElement(en, '{%s}OptimizeEnumeration' % W); ET.SubElement(en, '{%s}MaxElements' % W).text = '5'
    if mode: ET.SubElement(en, '{%s}EnumerationMode' % W).text = mode
    if dialect:
        f = ET.SubElement(en, '{%s}Filter' % W, Dialect=DIALECT[dialect]); f.text = query
        if fill: fill(f)
    r, out = w.enumerate(uri, en)[0], []
    while True:
        out += [i for n in (W, E) for s in r.findall('{%s}Items' % n) for i in s]
        if any(r.find('{%s}EndOfSequence' % n) is not None for n in (W, E)): return out
        p = ET.Element('{%s}Pull' % E); ET.SubElement(p, '{%s}EnumerationContext' % E).text = r.findtext('{%s}EnumerationContext' % E); ET.SubElement(p, '{%s}MaxElements' % E).text = '5'
        r = w.pull(uri, p)[0]
def wql(text): return enum(BASE + '/*', dialect='wql', query=text)
def obj(cls, **values):
    uri = '%s/%s' % (BASE, cls); i = ET.Element('{%s}%s' % (uri, cls))
    for k, v in values.items(): ET.SubElement(i, '{%s}%s' % (uri, k)).text = v
    return i
def create(cls, **values):
    s = w.create('%s/%s' % (BASE, cls), obj(cls, **values)).find('wst:ResourceCreated/wsa:ReferenceParameters/wsman:SelectorSet', namespaces=N)
    return {x.get('Name'): x.text for x in s if not x.get('Name').startswith('__')}
def get(cls, keys, base=BASE): return w.get('%s/%s' % (base, cls), selector_set=sel(keys))[0]
def invoke(cls, method, keys=None, *params):
    uri = '%s/%s' % (BASE, cls); el = ET.Element('{%s}%s_INPUT' % (uri, method))
    for k, v in params:
        if isinstance(v, str): ET.SubElement(el, '{%s}%s' % (uri, k)).text = v
        else: v.tag = '{%s}%s' % (uri, k); el.append(v)
    o = w.invoke(uri + '/' + method, uri, el, selector_set=sel(keys) if keys else None).find('s:Body', namespaces=N)[0]
    assert o.tag == '{%s}%s_OUTPUT' % (uri, method) and val(o, 'ReturnValue') == '0', ET.tostring(o)[:300]; return o
def poll(text, ready):
    for _ in range(600):
        rows = wql(text)
        if rows and all(ready(r) for r in rows): return rows
        time.sleep(0.1)
    raise AssertionError('%s: %s' % (text, [ET.tostring(r)[:600] for r in rows]))
K = {}
def make():
    K.update(create('SMS_Package', Name='Editor', PkgSourceFlag='2', PkgSourcePath=a.source)); assert list(K) == ['PackageID']
    assert val(get('SMS_Package', K), 'SourceVersion') == '1'; return K['PackageID']
def points():
    rows = wql("SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point'"); assert len(rows) == 1; a.nal, a.site = val(rows[0], 'NALPath'), val(rows[0], 'SiteCode')
    return a.nal
where = lambda: "WHERE PackageID = '%s'" % K['PackageID']
def distribute():
    invoke('SMS_Package', 'AddDistributionPoints', K, ('SiteCode', a.site), ('NALPath', a.nal))
    poll('SELECT * FROM SMS_PackageStatusDistPointsSummarizer ' + where(), lambda r: val(r, 'State') == '0')
def refresh():
    open(os.path.join(a.source, 'second.txt'), 'w').write('second'); invoke('SMS_Package', 'RefreshPkgSource', K)
    poll('SELECT * FROM SMS_PackageStatusDistPointsSummarizer ' + where(), lambda r: val(r, 'State') == '0' and val(r, 'SourceVersion') == '2')
def refresh_now():       # the whole row is sent back, read-only properties and all
    row = wql('SELECT * FROM SMS_DistributionPoint ' + where())[0]; row.find('{%s/SMS_DistributionPoint}RefreshNow' % BASE).text = 'true'
    keys = {k: val(row, k) for k in ('PackageID', 'ServerNALPath', 'SiteCode')}
    w.put(BASE + '/SMS_DistributionPoint', row, selector_set=sel(keys)); poll('SELECT * FROM SMS_PackageStatusDistPointsSummarizer ' + where(), lambda r: val(r, 'State') == '0')
def row_again():
    keys = dict(PackageID=K['PackageID'], ServerNALPath=a.nal, SiteCode=a.site); w.delete(BASE + '/SMS_DistributionPoint', selector_set=sel(keys))
    for _ in range(600):
        if not wql('SELECT PackageID FROM SMS_DistributionPoint ' + where()): break
        time.sleep(0.1)
    assert create('SMS_DistributionPoint', **keys) == keys
    poll('SELECT * FROM SMS_PackageStatusDistPointsSummarizer ' + where(), lambda r: val(r, 'State') == '0')
def schedule():
    uri = BASE + '/SMS_ST_RecurInterval'; token = ET.Element('TokenData', {X + 'type': 'q:SMS_ST_RecurInterval_Type'})
    for k, v in (('DaySpan', '2'), ('IsGMT', 'false'), ('StartTime', '2026-11-22T10:00:00')): ET.SubElement(token, '{%s}%s' % (uri, k)).text = v
    text = val(invoke('SMS_ScheduleMethods', 'WriteToString', None, ('TokenData', token)), 'StringData'); assert len(text) == 16, text
    back = [x for x in invoke('SMS_ScheduleMethods', 'ReadFromString', None, ('StringData', text)) if x.tag.endswith('}TokenData')]
    assert len(back) == 1 and back[0].get(X + 'type').endswith(':SMS_ST_RecurInterval_Type') and val(back[0], 'DaySpan') == '2', ET.tostring(back[0])
    p = get('SMS_Package', K); token.tag = '{%s/SMS_Package}RefreshSchedule' % BASE
    for old in p.findall(token.tag): p.remove(old)
    p.append(token); w.put(BASE + '/SMS_Package', p, selector_set=sel(K))
    kept = get('SMS_Package', K).findall(token.tag); assert len(kept) == 1 and val(kept[0], 'DaySpan') == '2', len(kept); return text
def modes():
    uri = BASE + '/SMS_Package'; refs = enum(uri, 'EnumerateEPR'); assert {r.tag for r in refs} == {'{%s}EndpointReference' % A}
    both = enum(uri, 'EnumerateObjectAndEPR'); assert len(both) == len(refs)
    for item in both:
        assert item.tag == '{%s}Item' % W and [x.tag for x in item] == ['{%s}SMS_Package' % uri, '{%s}EndpointReference' % A]
        p = item[1].find('wsa:ReferenceParameters', namespaces=N); s = {x.get('Name'): x.text for x in p.find('wsman:SelectorSet', namespaces=N)}
        found = w.get(p.findtext('wsman:ResourceURI', namespaces=N), selector_set=sel(s))[0]; assert val(found, 'PackageID') == val(item[0], 'PackageID')
def selectors():
    def fill(f): s = ET.SubElement(ET.SubElement(f, '{%s}SelectorSet' % W), '{%s}Selector' % W, Name='Name'); s.text = 'Editor'
    rows = enum(BASE + '/SMS_Package', dialect='selectors', fill=fill); assert [val(r, 'PackageID') for r in rows] == [K['PackageID']]
def partners():
    def fill(f):
        o = ET.SubElement(ET.SubElement(f, '{%s}AssociatedInstances' % B), '{%s}Object' % B); ET.SubElement(o, '{%s}Address' % A).text = 'x'
        p = ET.SubElement(o, '{%s}ReferenceParameters' % A); ET.SubElement(p, '{%s}ResourceURI' % W).text = BASE + '/SMS_Package'
        ET.SubElement(ET.SubElement(p, '{%s}SelectorSet' % W), '{%s}Selector' % W, Name='PackageID').text = K['PackageID']
    rows = enum(BASE + '/*', dialect='association', fill=fill); assert any(r.tag.endswith('}SMS_DistributionPoint') for r in rows), [r.tag for r in rows]
    same = wql('ASSOCIATORS OF {SMS_Package.PackageID="%s"}' % K['PackageID']); assert sorted(r.tag for r in same) == sorted(r.tag for r in rows)
    return '%d partners' % len(rows)
def queries():
    n = wql('SELECT COUNT(*) FROM SMS_Package'); assert len(n) == 1 and int(val(n[0], 'Count')) >= 1
    j = wql("SELECT p.Name, d.ServerNALPath FROM SMS_Package AS p INNER JOIN SMS_DistributionPoint AS d ON p.PackageID = d.PackageID WHERE p.PackageID = '%s'" % K['PackageID'])
    assert len(j) == 1 and j[0].tag == '{%s}XmlFragment' % W and len(j[0]) == 2, ET.tostring(j[0])
def locator():
    rows = enum(ROOT + 'root/sms/SMS_ProviderLocation'); mine = [r for r in rows if val(r, 'ProviderForLocalSite') == 'true']; assert len(mine) == 1
    assert val(mine[0], 'NamespacePath').lower().endswith(a.namespace.replace('/', '\\').lower()), val(mine[0], 'NamespacePath')
def gone():
    w.delete(BASE + '/SMS_DistributionPoint', selector_set=sel(dict(PackageID=K['PackageID'], ServerNALPath=a.nal, SiteCode=a.site))); w.delete(BASE + '/SMS_Package', selector_set=sel(K))
    try: get('SMS_Package', K); raise AssertionError('still there')
    except WSManFaultError: pass
t.run('find the site', locator); t.run('create a package', make); t.run('find the distribution point', points); t.run('distribute by method', distribute); t.run('refresh', refresh)
t.run('RefreshNow', refresh_now); t.run('distribute by a row', row_again); t.run('schedule', schedule); t.run('addresses', modes); t.run('selector filter', selectors)
t.run('partners', partners); t.run('count and join', queries); t.run('remove and delete', gone)
t.done()
