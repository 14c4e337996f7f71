"""The same generated requests through the three doors, by three published clients: the same objects and the same errors.
Reads are asked again when the site changed meanwhile; what is written goes to a package of its own for each door."""
import base64, datetime, json, random, re, sys, warnings, xml.etree.ElementTree as ET
from urllib.parse import quote
import pywbem, requests
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES as N, SelectorSet, WSMan
from steps import args
warnings.simplefilter('ignore')
a = args(8726, requests=dict(type=int, default=200), seed=dict(type=int, default=1), analyst=dict(default=''), analyst_password=dict(default=''))
rng = random.Random(a.seed)
W, XSI = N['wsman'], '{http://www.w3.org/2001/XMLSchema-instance}'
E = N['wsen']
UTC = datetime.timezone.utc
# What the doors read with readers of their own, and therefore call by names of their own.
SAME = {'UNKNOWN_PARAMETER': 'INVALID_PARAMETER', 'FILTER_SYNTAX': 'SYNTAX', 'WQL_SYNTAX': 'SYNTAX', 'URL_KEY': 'KEY', 'UNKNOWN_KEY': 'KEY'}

class Failed(Exception): pass

def code_of(text):
    found = re.search(r'\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|SCOPE|TYPE|RANGE|GRANT|PAIRS|REQUIRED|FAILED)(?=: )', text)
    return SAME.get(found.group(1), found.group(1)) if found else text[:100]

# ---- values in one form
classes = {}
def declared(name):
    if name.lower() not in classes: classes[name.lower()] = wbem.c.GetClass(name, LocalOnly=False, IncludeQualifiers=True)
    return classes[name.lower()]
def moment(v):
    if isinstance(v, datetime.timedelta): return 'for %d' % v.total_seconds()
    return int(v.timestamp())
def one(type_, v):
    if v is None or v == '' and type_ != 'string': return None
    if isinstance(v, dict): return v
    if type_ == 'boolean': return v if isinstance(v, bool) else v.lower() == 'true'
    if type_ == 'datetime':
        if isinstance(v, pywbem.CIMDateTime): return moment(v.timedelta if v.is_interval else v.datetime)
        if re.match(r'\d{8}\d{6}\.\d{6}[:+-]', v): return one(type_, pywbem.CIMDateTime(v))
        if v.startswith('P'): 
            m = re.match(r'P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$', v); d, h, mi, s = (float(x or 0) for x in m.groups())
            return 'for %d' % (((d * 24 + h) * 60 + mi) * 60 + s)
        return moment(datetime.datetime.fromisoformat(v.replace('Z', '+00:00')))
    if type_ in ('real32', 'real64'): return float(v)
    return str(v) if type_ in ('string', 'char16') else int(v)
def canon(d, v):
    """A value of a declared property or parameter; an array is a list."""
    if v is None: return None
    if d.is_array:
        if isinstance(v, str): v = list(base64.b64decode(v))
        return [one(d.type, x) for x in v]
    return one(d.type, v)

class OData:
    name = 'adminservice'
    def __init__(self, user, password):
        self.s = requests.Session(); self.s.auth, self.s.trust_env, self.s.verify = (user, password), False, a.verify
        self.root = '%s://%s:%d/AdminService/wmi/' % (a.scheme, a.host, a.port)
    def ask(self, method, url, **kw):
        r = self.s.request(method, self.root + url, **kw)
        if r.status_code >= 400: raise Failed(code_of(r.json()['error']['message']))
        return r.json() if r.content else {}
    def row(self, cls, j): return self.properties(declared(cls).properties, j)
    def properties(self, ds, j):
        return {k.lower(): canon(ds[k], self.embedded(v)) for k, v in j.items() if k in ds and ds[k].type != 'reference'}
    def embedded(self, v):
        if isinstance(v, list): return [self.embedded(x) for x in v]
        if isinstance(v, dict) and '@odata.type' in v:
            cls = v['@odata.type'].rsplit('.', 1)[1]; return dict(self.row(cls, v), __class=cls.lower())
        return v
    def key(self, cls, keys):
        q = lambda v: "'%s'" % quote(str(v).replace("'", "''"), safe='') if not isinstance(v, int) else str(v)
        return '%s(%s)' % (cls, q(*keys.values()) if len(keys) == 1 else ','.join('%s=%s' % (k, q(v)) for k, v in keys.items()))
    def get(self, cls, keys): return self.row(cls, self.ask('GET', self.key(cls, keys))['value'][0])
    def query(self, cls, condition, select):
        p = {}
        if condition: p['$filter'] = condition.odata()
        if select: p['$select'] = ','.join(select)
        return [self.row(cls, j) for j in self.ask('GET', cls, params=p)['value']]
    def create(self, cls, values): return self.ask('POST', cls, json=values)['PackageID']
    def put(self, cls, keys, values): self.ask('PATCH', self.key(cls, keys), json=values); return None
    def delete(self, cls, keys): self.ask('DELETE', self.key(cls, keys)); return None
    def invoke(self, cls, keys, method, values):
        url = '%s.%s' % (cls, method) if keys is None else '%s/AdminService.%s' % (self.key(cls, keys), method)
        j = self.ask('POST', url, json=values); m = declared(cls).methods.get(method)
        return dict(self.properties(m.parameters, j), returnvalue=j['ReturnValue'])

class Wbem:
    name = 'cimom'
    def __init__(self, user, password):
        self.c = pywbem.WBEMConnection('%s://%s:%d' % (a.scheme, a.host, a.port), (user, password), default_namespace=a.namespace,
                                       ca_certs=a.ca, no_verification=a.insecure, timeout=60)
        self.c.debug = True
    def ask(self, f, *p, **kw):
        try: return f(*p, **kw)
        except pywbem.CIMError as e: raise Failed(code_of(e.status_description))
    def row(self, i): return {p.name.lower(): canon(p, self.embedded(p.value)) for p in i.properties.values() if p.type != 'reference'}
    def embedded(self, v):
        if isinstance(v, list): return [self.embedded(x) for x in v]
        return dict(self.row(v), __class=v.classname.lower()) if isinstance(v, pywbem.CIMInstance) else v
    def path(self, cls, keys): return pywbem.CIMInstanceName(cls, keys, namespace=a.namespace)
    def get(self, cls, keys): return self.row(self.ask(self.c.GetInstance, self.path(cls, keys), LocalOnly=False))
    def query(self, cls, condition, select):
        if not condition and not select: return [self.row(i) for i in self.ask(self.c.EnumerateInstances, cls, LocalOnly=False)]
        return [self.row(i) for i in self.ask(self.c.ExecQuery, 'WQL', wql(cls, condition, select))]
    def typed(self, ds, values):
        return {k: ds[k].type in ('string', 'datetime') and v or pywbem.cimvalue(v, ds[k].type) if k in ds else v for k, v in values.items()}
    def instance(self, cls, values, keys=None):
        ds = declared(cls).properties
        made = [pywbem.CIMProperty(k, pywbem.cimvalue(v, ds[k].type) if k in ds and v is not None else v, type=ds[k].type if k in ds else 'string') for k, v in values.items()]
        return pywbem.CIMInstance(cls, made, path=keys and self.path(cls, keys))
    def create(self, cls, values): return self.ask(self.c.CreateInstance, self.instance(cls, values))['PackageID']
    def put(self, cls, keys, values): self.ask(self.c.ModifyInstance, self.instance(cls, values, keys), PropertyList=list(values)); return None
    def delete(self, cls, keys): self.ask(self.c.DeleteInstance, self.path(cls, keys)); return None
    def invoke(self, cls, keys, method, values):
        m = declared(cls).methods.get(method); ps = m.parameters if m else {}
        made = [pywbem.CIMParameter(k, ps[k].type if k in ps else 'string', value=pywbem.cimvalue(v, ps[k].type) if k in ps else v,
                                    is_array=isinstance(v, list)) for k, v in values.items()]
        r, out = self.ask(self.c.InvokeMethod, method, cls if keys is None else self.path(cls, keys), made)
        # This client takes FALSE of an out-parameter for true: the answer itself is looked at.
        for e in ET.fromstring(self.c.last_raw_reply).iter('PARAMVALUE'):
            if e.get('PARAMTYPE') == 'boolean' and e.find('VALUE') is not None: out[e.get('NAME')] = e.find('VALUE').text
        return dict({k.lower(): canon(ps[k], self.embedded(v)) for k, v in out.items()}, returnvalue=r)

class WsMan:
    name = 'wsman'
    def __init__(self, user, password):
        self.w = WSMan(a.host, port=a.port, username=user, password=password, ssl=a.scheme == 'https', auth='basic', cert_validation=a.verify, encryption='never')
        self.base = 'http://schemas.microsoft.com/wbem/wsman/1/wmi/' + a.namespace + '/'
    def ask(self, f, *p, **kw):
        try: return f(*p, **kw)
        except WSManFaultError as e: raise Failed(code_of(e.message))
    def value(self, e):
        if e.get(XSI + 'nil') == 'true': return None
        kind = (e.get(XSI + 'type') or '').split(':')[-1]
        if kind.endswith('_Type'):
            return dict(self.row(kind[:-5], e), __class=kind[:-5].lower())
        return e[0].text if len(e) else (e.text or '')
    def row(self, cls, item): return self.properties(declared(cls).properties, item)
    def properties(self, ds, item):
        found = {}
        for e in item:
            name = e.tag.split('}')[1]
            if name in ds and ds[name].type != 'reference': found.setdefault(name, []).append(e)
        return {k.lower(): self.many(ds[k], es) for k, es in found.items()}
    def many(self, d, es):
        if not d.is_array: return canon(d, self.value(es[0]))
        return None if es[0].get(XSI + 'nil') == 'true' else canon(d, [self.value(e) for e in es])
    def selectors(self, keys):
        s = SelectorSet(); [s.add_option(k, str(v)) for k, v in keys.items()]; return s
    def get(self, cls, keys): return self.row(cls, self.ask(self.w.get, self.base + cls, selector_set=self.selectors(keys))[0])
    def query(self, cls, condition, select):
        en = ET.Element('{%s}Enumerate' % E); ET.SubElement(en, '{%s}OptimizeEnumeration' % W); ET.SubElement(en, '{%s}MaxElements' % W).text = '50'
        uri = self.base + cls
        if condition or select:
            uri = self.base + '*'; ET.SubElement(en, '{%s}Filter' % W, Dialect='http://schemas.microsoft.com/wbem/wsman/1/WQL').text = wql(cls, condition, select)
        r = self.ask(self.w.enumerate, uri, en).find('{%s}EnumerateResponse' % E); rows = []
        while True:
            for items in r.findall('{%s}Items' % W) + r.findall('{%s}Items' % E): rows += [self.row(cls, i) for i in items]
            if r.find('{%s}EndOfSequence' % W) is not None or r.find('{%s}EndOfSequence' % E) is not None: return rows
            p = ET.Element('{%s}Pull' % E); ET.SubElement(p, '{%s}EnumerationContext' % E).text = r.find('{%s}EnumerationContext' % E).text
            ET.SubElement(p, '{%s}MaxElements' % E).text = '50'; r = self.ask(self.w.pull, uri, p).find('{%s}PullResponse' % E)
    def element(self, cls, tag, values):
        uri = self.base + cls; el = ET.Element('{%s}%s' % (uri, tag))
        for k, v in values.items():
            for x in v if isinstance(v, list) else [v]:
                e = ET.SubElement(el, '{%s}%s' % (uri, k))
                if x is None: e.set(XSI + 'nil', 'true')
                else: e.text = str(x).lower() if isinstance(x, bool) else str(x)
        return el
    def create(self, cls, values):
        b = self.ask(self.w.create, self.base + cls, self.element(cls, cls, values))
        return [x.text for x in b.iter('{%s}Selector' % W) if x.get('Name') == 'PackageID'][0]
    def put(self, cls, keys, values):
        i = self.ask(self.w.get, self.base + cls, selector_set=self.selectors(keys))[0]; uri = self.base + cls
        for e in self.element(cls, cls, values):
            old = i.find(e.tag)
            if old is None: i.append(e)
            else: i[list(i).index(old)] = e
        self.ask(self.w.put, uri, i, selector_set=self.selectors(keys)); return None
    def delete(self, cls, keys): self.ask(self.w.delete, self.base + cls, selector_set=self.selectors(keys)); return None
    def invoke(self, cls, keys, method, values):
        uri = self.base + cls; m = declared(cls).methods.get(method)
        b = self.ask(self.w.invoke, uri + '/' + method, uri, self.element(cls, method + '_INPUT', values), selector_set=keys and self.selectors(keys))
        o = b.find('s:Body', namespaces=N).find('{%s}%s_OUTPUT' % (uri, method))
        return dict(self.properties(m.parameters, o), returnvalue=int(o.find('{%s}ReturnValue' % uri).text))

# ---- conditions, in both languages
class Is:
    OPS = {'=': 'eq', '<>': 'ne', '<': 'lt', '>': 'gt', '<=': 'le', '>=': 'ge'}
    def __init__(self, d, op, v): self.d, self.op, self.v = d, op, v
    def literal(self, is_wql):
        v, t = self.v, self.d if isinstance(self.d, str) else self.d.type
        if isinstance(v, bool): return ('TRUE' if v else 'FALSE') if is_wql else str(v).lower()
        if t == 'datetime' and isinstance(v, int):
            at = datetime.datetime.fromtimestamp(v, UTC); return "'%s.000000+000'" % at.strftime('%Y%m%d%H%M%S') if is_wql else at.strftime('%Y-%m-%dT%H:%M:%SZ')
        if isinstance(v, int): return str(v)
        return "'%s'" % (v.replace('\\', '\\\\').replace("'", "\\'") if is_wql else v.replace("'", "''"))
    def name(self): return self.d if isinstance(self.d, str) else self.d.name
    def wql(self):
        if self.v is None: return '%s IS%s NULL' % (self.name(), '' if self.op == '=' else ' NOT')
        if self.op == 'begins': return "%s LIKE '%s%%'" % (self.name(), self.v)
        return '%s %s %s' % (self.name(), self.op, self.literal(True))
    def odata(self):
        if self.v is None: return '%s %s null' % (self.name(), 'eq' if self.op == '=' else 'ne')
        if self.op == 'begins': return "startswith(%s,'%s')" % (self.name(), self.v)
        return '%s %s %s' % (self.name(), self.OPS[self.op], self.literal(False))
class Joined:
    def __init__(self, word, parts): self.word, self.parts = word, parts
    def text(self, f):
        if self.word == 'not': return 'not (%s)' % f(self.parts[0])
        return '(%s)' % (' %s ' % self.word).join(f(p) for p in self.parts)
    def wql(self): return self.text(lambda p: p.wql())
    def odata(self): return self.text(lambda p: p.odata())
def wql(cls, condition, select):
    return 'SELECT %s FROM %s' % (','.join(select) if select else '*', cls) + (' WHERE ' + condition.wql() if condition else '')

odata, wbem, wsman = doors = [d(a.user, a.password) for d in (OData, Wbem, WsMan)]
analysts = [d(a.analyst, a.analyst_password) for d in (OData, Wbem, WsMan)] if a.analyst else None
CLASSES = ['SMS_Package', 'SMS_Site', 'SMS_DistributionPoint', 'SMS_DistributionPointInfo', 'SMS_DistributionPointGroup', 'SMS_PackageStatus',
           'SMS_PackageStatusDistPointsSummarizer', 'SMS_PackageStatusRootSummarizer', 'SMS_PackageStatusDetailSummarizer', 'SMS_Admin', 'SMS_Role',
           'SMS_SecuredCategory', 'SMS_DPGroupInfo', 'SMS_DPStatusInfo', 'SMS_DPGroupMembers', 'SMS_Program', 'SMS_DPContentInfo', 'SMS_ObjectContentExtraInfo']
samples = {}
def rows_of(cls):
    if cls not in samples: samples[cls] = odata.query(cls, None, None)
    return samples[cls]
def plain(cls): return [p for p in declared(cls).properties.values() if not p.is_array and p.type != 'reference' and not p.embedded_object
                        and 'lazy' not in p.qualifiers and p.name.lower() in (rows_of(cls)[0] if rows_of(cls) else {})]
def keys_of(cls, row): return {p.name: row[p.name.lower()] for p in declared(cls).properties.values() if 'key' in p.qualifiers and p.qualifiers['key'].value}
def condition(cls, depth=2):
    if depth and rng.random() < 0.4:
        word = rng.choice(['and', 'or', 'not']); return Joined(word, [condition(cls, depth - 1) for _ in range(1 if word == 'not' else 2)])
    p = rng.choice(plain(cls)); v = rng.choice(rows_of(cls))[p.name.lower()]
    if rng.random() < 0.15: v = None
    elif rng.random() < 0.2: v = {'string': "O'Neil %d" % rng.randrange(9), 'boolean': True, 'datetime': 1_700_000_000}.get(p.type, rng.randrange(5))
    if v is None or p.type == 'boolean': op = rng.choice(['=', '<>'])
    elif p.type == 'string' and v and re.match(r'^\w+$', v[:3]) and rng.random() < 0.3: op, v = 'begins', v[:rng.randrange(1, 4)]
    else: op = rng.choice(list(Is.OPS))
    return Is(p, op, v)
def text(): return rng.choice(['', 'x', 'Ünï', "O'Neil", '<b>&', 'a' * 40, '\\\\srv\\share', a.package, '16B80A00000C4000'])
HARMLESS = [('SMS_Package', 'CheckDuplicateShareName'), ('SMS_Package', 'CheckDuplicateSourceName'), ('SMS_Package', 'CheckPackageShareForTaskSequenceDeployment'),
            ('SMS_ScheduleMethods', 'ReadFromString'), ('SMS_NAL_Methods', None), ('SMS_Identification', None), ('SMS_Site', 'Nope')]
def request():
    """What is asked, as a text and a function of a door."""
    kind = rng.choice(['query'] * 7 + ['all'] * 2 + ['get'] * 3 + ['bad'] * 3 + ['call'] * 4)
    cls = rng.choice([c for c in CLASSES if rows_of(c)])
    if kind == 'query':
        c = condition(cls); names = [p.name for p in plain(cls)]
        select = sorted(set(rng.sample(names, min(len(names), rng.randrange(1, 5))))) if rng.random() < 0.4 else None
        return wql(cls, c, select), lambda d: d.query(cls, c, select)
    if kind == 'all':
        return 'all ' + cls, lambda d: d.query(cls, None, None)
    if kind == 'get':
        keys = keys_of(cls, rng.choice(rows_of(cls)))
        if rng.random() < 0.3: keys = {k: v if isinstance(v, int) else rng.choice([v.lower(), v.upper(), v + 'x', "AB'1"]) for k, v in keys.items()}
        return 'get %s %s' % (cls, keys), lambda d: d.get(cls, keys)
    if kind == 'bad':
        c = rng.choice([Is('Nope', '=', 1), Is('PackageID', '=', 7), Is('Priority', '=', 'high'), Is('PackageID', '=', "' OR 1=1 --")])
        of = rng.choice(['SMS_Package', 'SMS_Package', 'SMS_Nothing'])
        return wql(of, c, None), lambda d: d.query(of, c, None)
    of, method = rng.choice(HARMLESS); ms = declared(of).methods
    method = method or rng.choice(sorted(ms)); ps = ms[method].parameters if method in ms else {}
    values = {}
    for p in ps.values():
        if 'in' in p.qualifiers and p.qualifiers['in'].value and not p.embedded_object and p.type != 'reference' and rng.random() < 0.9:
            v = {'string': text, 'boolean': lambda: rng.random() < 0.5}.get(p.type, lambda: rng.randrange(9)); values[p.name] = [v(), v()] if p.is_array else v()
    static = method not in ms or 'static' in ms[method].qualifiers
    keys = None if static else {k.name: rng.choice([a.package, 'NOPE0000']) for k in declared(of).properties.values() if 'key' in k.qualifiers}
    return 'call %s.%s %s %s' % (of, method, keys, values), lambda d: d.invoke(of, keys, method, values)
# ---- writes: each door has a package of its own
KEPT = {'packageid', 'name', 'description', 'manufacturer', 'version', 'language', 'priority', 'pkgsourceflag', 'pkgsourcepath', 'sourceversion', 'mifname', 'isvstring'}
twins = {}
def begin_twins():
    for d in doors: twins[d.name] = d.create('SMS_Package', {'Name': 'twin', 'PkgSourceFlag': 1})
def write():
    values = {rng.choice(['Description', 'Manufacturer', 'Version', 'Language', 'MIFName']): rng.choice([text(), 'b' * 3_000]) for _ in range(rng.randrange(1, 3))}
    if rng.random() < 0.4: values['Priority'] = rng.choice([1, 2, 3, 9])
    if rng.random() < 0.2: values['Name'] = rng.choice(['', 'twin', 'a\nb'])
    if rng.random() < 0.2: values['PkgSourcePath'] = rng.choice(['/nowhere/at/all', 'relative', '\\\\srv\\share'])
    what = rng.choice(['put', 'put', 'put', 'call', 'unknown'])
    def act(d):
        keys = {'PackageID': twins[d.name]}
        if what == 'put': d.put('SMS_Package', keys, values)
        elif what == 'unknown': d.put('SMS_Package', {'PackageID': 'NOPE0000'}, values)
        else: d.invoke('SMS_Package', keys, *called)
        return {k: v for k, v in d.get('SMS_Package', keys).items() if k in KEPT - {'packageid'}}
    called = rng.choice([('AddDistributionPoints', {'SiteCode': ['XYZ'], 'NALPath': ['nonsense']}), ('AddDistributionPoints', {'SiteCode': ['XYZ', 'XYZ'], 'NALPath': [a.nal]}),
                         ('AddDistributionPoints', {'SiteCode': ['QQQ'], 'NALPath': [a.nal]}), ('RefreshPkgSource', {}), ('SetSourceSite', {'SiteCode': 'QQQ'})])
    return '%s %s' % (what, called if what == 'call' else values), act

def in_order(v): return sorted(v, key=lambda row: json.dumps(row, sort_keys=True)) if isinstance(v, list) else v
def bare(v):
    # A door may leave out what is NULL, and WS-Management knows no empty array beside it.
    if isinstance(v, dict): return {k: bare(x) for k, x in v.items() if x not in (None, [])}
    return [bare(x) for x in v] if isinstance(v, list) else v
def result(d, f):
    try: return ('object', in_order(bare(f(d))))
    except Failed as e: return ('error', str(e))
def differing(x, y, path=''):
    if isinstance(x, dict) and isinstance(y, dict): return [m for k in sorted(set(x) | set(y)) for m in differing(x.get(k), y.get(k), path + '.' + str(k))]
    if isinstance(x, (list, tuple)) and isinstance(y, (list, tuple)) and len(x) == len(y): return [m for n, (p, q) in enumerate(zip(x, y)) for m in differing(p, q, '%s[%d]' % (path, n))]
    return [] if x == y else ['%s: %.120r / %.120r' % (path, x, y)]
wrong, kinds = 0, {'object': 0, 'error': 0}
begin_twins()
for n in range(a.requests):
    is_write = rng.random() < 0.2
    shown, f = write() if is_write else request()
    asked = analysts if analysts and not is_write and rng.random() < 0.25 else doors
    for _ in range(5):
        got = [result(d, f) for d in asked]
        # The site works on: what changed meanwhile is asked again.
        if is_write or got[0] == got[1] == got[2] or result(asked[0], f) == got[0]: break
    said = [(d.name, m) for d, g in zip(asked[1:], got[1:]) for m in differing(got[0], g)]
    kinds[got[0][0]] += 1
    if said:
        wrong += 1; print('FAIL %d %s: %s\n     %s' % (n, '' if asked is doors else '(analyst)', shown[:300], '\n     '.join('%s %s' % s for s in said[:6])), flush=True)
for d in doors: d.delete('SMS_Package', {'PackageID': twins[d.name]})
print('seed %d: %d objects, %d errors the same' % (a.seed, kinds['object'], kinds['error']) if not wrong else 'seed %d' % a.seed)
print('%d passed, %d failed, 0 skipped' % (a.requests - wrong, wrong)); sys.exit(1 if wrong else 0)
