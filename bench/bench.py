#!/usr/bin/env python3
"""Package-content distribution benchmark. See README.md.
   bench.py m12     source -> 1 destination: initial, noop, rename, edit, touch      (tables M1, M2)
   bench.py ingest  source -> store only: restic, borg, casync make, ostree commit, external programs
   bench.py m3      fan-out to N destinations, also under a shaped uplink
   bench.py m4      physical limits of the machine
   bench.py m5      HTTP serving: nginx (default, tuned), or --driver-script + --serve-url
   bench.py limits  information limits of v1 -> v2
   bench.py list    names of the tools"""
import argparse, json, os, sys, time, traceback
H = os.path.dirname(os.path.abspath(__file__)); sys.path.insert(0, H + '/lib'); sys.dont_write_bytecode = True
import core, drivers, micro
from core import *
a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument('what', choices=['m12', 'ingest', 'm3', 'm4', 'm5', 'limits', 'list']); a.add_argument('--scale', default='full', choices=['full', 'quick'])
a.add_argument('--data', default=os.environ.get('BENCH_DATA', H + '/bench-data'), help='scratch directory (default: $BENCH_DATA or ./bench-data next to this file)')
a.add_argument('--out', help='result file (default results.json or results-quick.json); new rows are merged into it'); a.add_argument('--runs', type=int, default=3)
a.add_argument('--tools', help='comma separated, see "list"'); a.add_argument('--datasets', default='D1,D2,D3'); a.add_argument('--steps', help='only these steps (initial always runs, as preparation)')
a.add_argument('--n', type=int, default=8); a.add_argument('--mbit', type=int, default=200); a.add_argument('--shaped', choices=['both', 'yes', 'no'], default='both')
a.add_argument('--driver-script', action='append', default=[], metavar='NAME=PATH'); a.add_argument('--serve-url', action='append', default=[], metavar='URL')
a.add_argument('--slow-s', type=float, default=60, help='a tool whose measured steps of one run sum to more than this gets one run only')
a.add_argument('--fs', default='ext4', choices=['ext4', 'xfs']); a.add_argument('--size-gib', type=int, help='size of the loop file (default 24 full, 6 quick)')
a.add_argument('--ballast-gib', type=float, help='memory ballast, 0 = off (default 2.5 full, 0.5 quick)'); a.add_argument('--settle', type=float, help='idle seconds before each step (default 0.5 full, 0.2 quick)')
a.add_argument('--timeout', type=float, default=1800)
A = a.parse_args(); full = A.scale == 'full'; sfx = '' if full else 'q'; A.data = os.path.abspath(A.data)
A.out = A.out or H + ('/results.json' if full else '/results-quick.json')
A.size_gib = A.size_gib or (24 if full else 6); A.ballast_gib = A.ballast_gib if A.ballast_gib is not None else (2.5 if full else 0.5); A.settle = A.settle if A.settle is not None else (0.5 if full else 0.2)
ext = []
for s in A.driver_script:
    n, p = s.split('=', 1); c = type('X', (drivers.External,), {'name': n, 'script': os.path.abspath(p)}); ext.append(n)
    drivers.ALL[n] = c; drivers.INGEST[n] = type('XI', (c,), {'ingest': True})
def load():
    try: return json.load(open(A.out))
    except FileNotFoundError: return {}
def save(section, key, val):
    R = load(); R.setdefault(section, {})[key] = val
    R['meta'] = {'date': time.strftime('%Y-%m-%d'), 'scale': A.scale, 'machine': machine(), 'file system': {**R.get('meta', {}).get('file system', {}), section: f'{A.fs} on loop file'}}
    json.dump(R, open(A.out + '.tmp', 'w'), indent=1, sort_keys=True); os.rename(A.out + '.tmp', A.out)
def machine():                             # no host name: results are published
    c = open('/proc/cpuinfo').read(); m = re.search(r'model name\s*: (.*)', c)
    d = os.stat(A.data).st_dev; q = os.path.realpath(f'/sys/dev/block/{os.major(d)}:{os.minor(d)}'); q = q if os.path.isdir(q + '/queue') else os.path.dirname(q)
    try: kind = 'virtual' if re.match('x?vd|sr', os.path.basename(q)) else 'rotating' if open(q + '/queue/rotational').read().strip() == '1' else 'solid-state'; disk = f"{kind} disk {os.path.basename(q)} of {int(open(q + '/size').read()) / 2**21:.0f} GiB"
    except OSError: disk = 'unknown disk'
    return f"{os.cpu_count()}-core {'VM' if ' hypervisor' in c else 'machine'}, {m.group(1).strip() if m else 'unknown CPU'}; {free_kib('MemTotal') / 2**20:.0f} GiB RAM; {disk}; Linux {os.uname().release}"
def mkenv(n): return Env(A.data, n, A.size_gib, A.fs, A.ballast_gib, A.settle, A.timeout)
V = lambda ds: [('initial', 'v1'), ('noop', 'v1')] + ([('rename', 'ren'), (None, 'v1')] if ds == 'D1' else []) + [('edit', 'v2'), ('touch', 'touch')]
def pick(steps):
    if not A.steps: return steps
    w = A.steps.split(','); return [(s if s in w else None, v) for s, v in steps if s in w or s == 'initial']
def sequence(env, cls, steps, n, runs, mbit=0):
    acc = {}; err = None
    for r in range(runs):
        env.wipe(); env.net.shape(0); d = cls(env)
        try:
            env.mount_src(f'{env.ds}/v1'); d.init(); env.net.shape(mbit)
            for step, ver in steps:
                rec = measure_step(env, d, ver, n, step)
                if step: acc.setdefault(step, []).append(rec)
        except Exception as e:
            err = str(e)[:300].replace(A.data, 'DATADIR').replace(H, '.'); traceback.print_exc(file=env.log); env.log.flush(); print('  ERROR', cls.name, err, flush=True)
        d.stop(); env.net.shape(0)
        if err or (d.max_runs and r + 1 >= d.max_runs) or sum(v[-1]['wall_s'] for v in acc.values()) > A.slow_s: break
    out = {s: median_recs(v) for s, v in acc.items() if v}
    if err: out['error'] = err
    return out
def merge(section, key, o):
    old = load().get(section, {}).get(key, {}); new = {**old, **o}
    if 'error' not in o: new.pop('error', None)
    save(section, key, new)
    print(time.strftime('%T'), key, {k: f"wall {v['wall_s']:.2f} ({v['wall_min']:.2f}-{v['wall_max']:.2f}) durable {v['wall_durable_s']:.2f} cpu {v['cpu_s']:.2f} wire {(v['wire_out'] + v['wire_in'])/1e6:.2f} {v['verify']} n={v['runs']}" for k, v in o.items() if k != 'error'}, flush=True)
def main():
    if A.what == 'list': print('m12/m3:', ', '.join(drivers.ALL)); print('ingest:', ', '.join(drivers.INGEST)); return
    if os.geteuid(): sys.exit('needs root')
    want = A.tools.split(',') if A.tools else None
    if A.what in ('m12', 'ingest'):
        table = drivers.ALL if A.what == 'm12' else drivers.INGEST; names = (want or list(table)) + [x for x in ext if want and x not in want]
        for nm in names:
            if nm not in table: sys.exit(f'unknown tool {nm}; see list')
        env = mkenv(1)
        for ds in A.datasets.split(','):
            st = pick(V(ds)); env.load(ds + sfx, [v for _, v in st])
            for nm in names:
                c = table[nm]
                if c.only and ds not in c.only or nm == 'aria2 swarm': continue
                merge(A.what, f'{ds}|{nm}', sequence(env, c, [s for s in st if s[0] == 'initial'] if nm == 'cp-a' else st, 1, A.runs))
        env.close()
    elif A.what == 'm3':
        env = mkenv(A.n); loaded = None
        cases = [('D3', nm, 0) for nm in ['rsync', 'tar|nc', 'casync', 'ostree'] + ext] + [('D5', nm, m) for m in (0, A.mbit) for nm in ['rsync', 'nginx+curl (whole file)', 'aria2 swarm'] + ext]
        for ds, nm, mbit in cases:
            if want and nm not in want or A.datasets != 'D1,D2,D3' and ds not in A.datasets.split(',') or A.shaped == 'yes' and not mbit or A.shaped == 'no' and mbit: continue
            st = [('initial', 'v1')] + ([('edit', 'v2')] if ds == 'D3' and nm in ['rsync', 'casync', 'ostree'] + ext else [])
            if loaded != ds: env.load(ds + sfx, ['v1', 'v2'] if ds == 'D3' else ['v1']); loaded = ds
            merge('m3', f'{ds}|{nm}|N={A.n}|{f"{mbit} Mbit/s uplink" if mbit else "unshaped"}', sequence(env, drivers.ALL[nm], st, A.n, A.runs, mbit))
        env.close()
    elif A.what == 'm4': env = mkenv(1); micro.m4(A, env, save, sfx); env.close()
    elif A.what == 'm5': env = mkenv(1); micro.m5(A, env, save, [drivers.ALL[x] for x in ext]); env.close()
    elif A.what == 'limits': env = mkenv(1); micro.limits(A, env, save, sfx); env.close()
if __name__ == '__main__': main()
