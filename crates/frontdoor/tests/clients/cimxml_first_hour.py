"""Door (c): the first hour with a package, as the SDK shows it, through pywbem (unmodified). The site has one DP; --source is a folder beneath a
source root of the site, on this machine, that holds at least one file."""
import os, time, pywbem
from steps import args, Steps
a = args(5988, source=dict(required=True)); t = Steps('first hour', a.debug)
ssl = dict(no_verification=a.insecure, ca_certs=a.ca) if a.scheme == 'https' else {}
c = pywbem.WBEMConnection('%s://%s:%d' % (a.scheme, a.host, a.port), (a.user, a.password), default_namespace=a.namespace, timeout=60, **ssl)
wql = lambda text: c.ExecQuery('WQL', text)
name = lambda cls, **keys: pywbem.CIMInstanceName(cls, keys, namespace=a.namespace)
cls = lambda n: pywbem.CIMClassName(n, namespace=a.namespace)
def poll(text, ready):
    for _ in range(600):
        rows = wql(text)
        if rows and all(ready(r) for r in rows): return rows
        time.sleep(0.1)
    raise AssertionError('%s: %s' % (text, [dict(r.items()) for r in rows]))
K = {}
where = lambda: "WHERE PackageID = '%s'" % K['id']
on_point = lambda version=None: poll('SELECT * FROM SMS_PackageStatusDistPointsSummarizer ' + where(), lambda r: r['State'] == 0 and version in (None, r['SourceVersion']))
def call(method, target, **params):
    rv, out = c.InvokeMethod(method, target, Params=list(params.items())); assert rv == 0, rv; return out
def locator():
    rows = [r for r in c.EnumerateInstances('SMS_ProviderLocation', namespace='root/sms') if r['ProviderForLocalSite']]; assert len(rows) == 1
    assert rows[0]['NamespacePath'].lower().endswith(a.namespace.replace('/', '\\').lower()), rows[0]['NamespacePath']
def make():
    K['path'] = c.CreateInstance(pywbem.CIMInstance('SMS_Package', {'Name': 'Editor', 'PkgSourceFlag': pywbem.Uint32(2), 'PkgSourcePath': a.source})); K['id'] = K['path']['PackageID']
    assert c.GetInstance(K['path'])['SourceVersion'] == 1; return K['id']
def points():
    rows = wql("SELECT * FROM SMS_SystemResourceList WHERE RoleName = 'SMS Distribution Point'"); assert len(rows) == 1; a.nal, a.site = rows[0]['NALPath'], rows[0]['SiteCode']; return a.nal
def distribute(): call('AddDistributionPoints', K['path'], SiteCode=[a.site], NALPath=[a.nal]); on_point()
def refresh(): open(os.path.join(a.source, 'second.txt'), 'w').write('second'); call('RefreshPkgSource', K['path']); on_point(2)
def refresh_now():       # the whole row is sent back, read-only properties and all
    row = wql('SELECT * FROM SMS_DistributionPoint ' + where())[0]; row['RefreshNow'] = True; c.ModifyInstance(row); on_point()
def row_again():
    keys = dict(PackageID=K['id'], ServerNALPath=a.nal, SiteCode=a.site); c.DeleteInstance(name('SMS_DistributionPoint', **keys))
    for _ in range(600):
        if not wql('SELECT PackageID FROM SMS_DistributionPoint ' + where()): break
        time.sleep(0.1)
    assert c.CreateInstance(pywbem.CIMInstance('SMS_DistributionPoint', keys)).keybindings == keys; on_point()
def schedule():
    token = pywbem.CIMInstance('SMS_ST_RecurInterval', {'DaySpan': pywbem.Uint32(2), 'IsGMT': False, 'StartTime': pywbem.CIMDateTime('20261122100000.000000+060')})
    text = call('WriteToString', cls('SMS_ScheduleMethods'), TokenData=[token])['StringData']; assert len(text) == 16, text
    back = call('ReadFromString', cls('SMS_ScheduleMethods'), StringData=text)['TokenData']; assert len(back) == 1 and back[0].classname == 'SMS_ST_RecurInterval' and back[0]['DaySpan'] == 2, back
    assert str(back[0]['StartTime']).startswith('20261122100000.000000'), back[0]['StartTime']      # the digits count
    p = c.GetInstance(K['path']); p['RefreshSchedule'] = pywbem.CIMProperty('RefreshSchedule', [token], type='string', embedded_object='instance'); c.ModifyInstance(p)
    kept = c.GetInstance(K['path'])['RefreshSchedule']; assert len(kept) == 1 and kept[0]['DaySpan'] == 2, kept; return text
def groups():
    g = c.CreateInstance(pywbem.CIMInstance('SMS_DistributionPointGroup', {'Name': 'Editors', 'Description': 'x'}))
    call('AddDistributionPoints', g, DPNALPath=[a.nal], AddTargetedPackages=False); call('AddPackages', g, PackageIDs=[K['id']])
    assert wql("SELECT * FROM SMS_DPGroupPackages WHERE PkgID = '%s'" % K['id']); call('RemovePackages', g, PackageIDs=[K['id']]); c.DeleteInstance(g)
def gone():
    c.DeleteInstance(K['path'])
    try: c.GetInstance(K['path']); raise AssertionError('still there')
    except pywbem.CIMError as e: assert e.status_code == 6, e
t.run('find the site', locator); t.run('create a package', make); t.run('find the distribution point', points); t.run('distribute by method', distribute); t.run('refresh', refresh)
t.run('RefreshNow', refresh_now); t.run('distribute by a row', row_again); t.run('schedule', schedule); t.run('group', groups); t.run('delete', gone)
t.done()
