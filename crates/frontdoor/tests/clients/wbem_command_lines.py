"""wbemcli and pywbemcli, unmodified: what their command lines do at the door for WBEM clients."""
import os, subprocess, sys
from steps import args, Steps
a = args(5988)
one = 'SMS_Package.PackageID="%s"' % a.package
def run(command, want):
    r = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert r.returncode == 0 and want in r.stdout, (r.returncode, r.stdout[-300:], r.stderr[-300:])
def wbemcli():
    t = Steps('wbemcli'); at = lambda o: 'http://%s:%s@%s:%d/%s:%s' % (a.user, a.password, a.host, a.port, a.namespace, o)
    cli = lambda want, *c: lambda: run(['wbemcli', '-nl', *c], want)
    t.run('enumerate', cli('-PackageID="%s"' % a.package, 'ei', at('SMS_Package'))); t.run('names of instances', cli(one, 'ein', at('SMS_Package')))
    t.run('get', cli('-Name=', 'gi', at(one))); t.run('class', cli('-PackageID', 'gc', at('SMS_Package'))); t.run('classes', cli('SMS_BaseClass', 'ecn', at('')))
    t.run('associations', cli('SMS_DistributionPoint.', 'ain', at(one))); t.run('method', cli('RefreshPkgSource: 0', 'cm', at(one), 'RefreshPkgSource'))
    return t.n
def pywbemcli():
    t = Steps('pywbemcli'); program = os.path.join(os.path.dirname(sys.executable), 'pywbemcli')
    cli = lambda want, *c: lambda: run([program, '-s', 'http://%s:%d' % (a.host, a.port), '-u', a.user, '-p', a.password, '-d', a.namespace, *c], want)
    t.run('enumerate', cli('instance of SMS_Package', 'instance', 'enumerate', 'SMS_Package')); t.run('get', cli(a.package, 'instance', 'get', one))
    t.run('names of instances', cli(a.package, 'instance', 'enumerate', 'SMS_Package', '--no')); t.run('class', cli('class SMS_Package', 'class', 'get', 'SMS_Package'))
    t.run('classes', cli('SMS_Package', 'class', 'enumerate', '--no', '--di')); t.run('associations', cli('SMS_DistributionPoint', 'instance', 'associators', one, '--no'))
    t.run('method', cli('ReturnValue=0', 'instance', 'invokemethod', one, 'RefreshPkgSource'))
    return t.n
n = [wbemcli(), pywbemcli()]; passed, failed = (sum(x[k] for x in n) for k in ('PASS', 'FAIL'))
print('%d passed, %d failed, 0 skipped' % (passed, failed)); sys.exit(1 if failed else 0)
