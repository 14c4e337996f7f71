#!/usr/bin/env python3
"""summary.py OUT: writes OUT from results.json and results-quick.json, whichever are there.
   First Restock beside rsync of the same run, then the harness's whole tables."""
import json, os, subprocess, sys
H = os.path.dirname(os.path.abspath(__file__))
OURS, PEER = 'restock', 'rsync'

def number(x): return f'{x:.2f}' if abs(x) < 100 else f'{x:.0f}'

def beside(results):
    lines = ['| data | step | Restock wall s | rsync wall s | wall ratio | Restock durable s | rsync durable s | durable ratio | Restock wire MB | rsync wire MB | Restock peak RSS MB | verify |',
             '|' + '---|' * 12]
    m12 = results.get('m12', {})
    for data in ('D1', 'D2', 'D3'):
        for step in ('initial', 'noop', 'rename', 'edit', 'touch'):
            a, b = m12.get(f'{data}|{OURS}', {}).get(step), m12.get(f'{data}|{PEER}', {}).get(step)
            if not a or not b: continue
            wire = [number((r['wire_out'] + r['wire_in']) / 1e6) for r in (a, b)]
            lines.append(f"| {data} | {step} | {number(a['wall_s'])} | {number(b['wall_s'])} | {number(a['wall_s'] / b['wall_s'])} "
                         f"| {number(a['wall_durable_s'])} | {number(b['wall_durable_s'])} | {number(a['wall_durable_s'] / b['wall_durable_s'])} "
                         f"| {wire[0]} | {wire[1]} | {number(a['peak_rss'] / 1e6)} | {a['verify']} |")
    return lines if len(lines) > 2 else []

def main():
    out = ['# Benchmark results\n', 'Written by `cargo xtask bench quick|full`; what is measured, and how, is in `README.md`. Ratios are Restock / rsync of the same run, below 1 is faster. '
           'Restock is built with the profile `dist` and runs with its default configuration, the site and every distribution point as a process of its own.']
    for name, title in (('results.json', 'Full scale'), ('results-quick.json', 'Quick scale')):
        path = os.path.join(H, name)
        if not os.path.exists(path): continue
        results = json.load(open(path)); meta = results.get('meta', {})
        out += [f'\n## {title}\n', f"{meta.get('date', '?')}. {meta.get('machine', '?')}.\n", *beside(results)]
        subprocess.run([sys.executable, os.path.join(H, 'report.py'), path], check=True, stdout=subprocess.DEVNULL)
        with open(path.replace('.json', '.md')) as text:
            # The report's own title is left out; its headings go one level down.
            out += ['\n### All programs'] + ['#' + line if line.startswith('## ') else line for line in text.read().split('\n')[1:]]
        os.unlink(path.replace('.json', '.md'))
    if len(out) == 2: sys.exit('no results yet: cargo xtask bench quick')
    open(os.path.join(H, sys.argv[1]), 'w').write('\n'.join(out).rstrip() + '\n')
main()
