#!/usr/bin/env python3
"""restock-export.py URL FOLDER < FILES.json: fetches every file of a package over HTTP into FOLDER, which must not exist.
   FILES.json is the output of `restock package files PKG --json`; links and folders are made from it."""
import concurrent.futures, http.client, json, os, sys, threading, urllib.parse
url, out = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2].encode()
entries = json.load(sys.stdin)['files']; local = threading.local()

def path(entry): return bytes.fromhex(entry['path_hex']) if entry.get('path_hex') else entry['path'].encode()

def fetch(entry):
    name = path(entry)
    for attempt in (1, 2):                                   # a kept connection may have been closed meanwhile
        c = getattr(local, 'c', None)
        if c is None: c = local.c = http.client.HTTPConnection(url.hostname, url.port)
        try: c.request('GET', url.path + '/' + urllib.parse.quote(name)); r = c.getresponse(); break
        except (http.client.HTTPException, OSError):
            c.close(); local.c = None
            if attempt == 2: raise
    if r.status != 200: r.read(); raise SystemExit(f'{name!r}: status {r.status}')
    size = 0
    with open(out + b'/' + name, 'wb') as f:
        while data := r.read(1 << 20): f.write(data); size += len(data)
    if size != entry['size']: raise SystemExit(f"{name!r}: {size} bytes of {entry['size']}")

os.makedirs(out)
for e in entries:
    if e['kind'] == 'folder': os.makedirs(out + b'/' + path(e))
    elif e['kind'] == 'symlink': os.symlink(e['target'], out + b'/' + path(e))
files = [e for e in entries if e['kind'] == 'file']
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for _ in pool.map(fetch, files): pass
