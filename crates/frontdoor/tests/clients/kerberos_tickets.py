"""Kerberos at the management doors with tickets made from the service's own keys, as a KDC would make them: right ones, and
each with one thing wrong."""
import base64, datetime, hashlib, http.client, json, os, secrets, ssl, subprocess
from impacket.krb5.asn1 import AP_REP, EncAPRepPart
from impacket.krb5.crypto import Key, decrypt, encrypt
from impacket.krb5.keytab import Keytab
from pyasn1.codec.der import decoder
from steps import args, Steps
a = args(8725, plain=dict(type=int, required=True, help='port of the listener without TLS'), keytab=dict(required=True),
         realm=dict(default='RESTOCK.TEST'), restock=dict(required=True, help='the program'), save=dict(required=True, help='file for a token that was used'), data=dict(required=True, help='data folder of the site'))
t = Steps('tickets', a.debug)
PATH = '/AdminService/wmi/SMS_Site'; KERBEROS = bytes.fromhex('2a864886f712010202'); WINDOWS = bytes.fromhex('2a864882f712010202')
NTLM = bytes.fromhex('2b06010401823702020a'); SPNEGO = bytes.fromhex('2b0601050502')

def tlv(tag, *parts):
    body = b''.join(parts); n = len(body)
    return bytes([tag]) + (bytes([n]) if n < 128 else (lambda b: bytes([0x80 + len(b)]) + b)(n.to_bytes((n.bit_length() + 7) // 8, 'big'))) + body
def at(place, *parts): return tlv(0xa0 + place, *parts)
def seq(*parts): return tlv(0x30, *parts)
def integer(n): return tlv(2, n.to_bytes(n.bit_length() // 8 + 1, 'big'))
def text(s): return tlv(0x1b, s.encode())
def when(seconds): return tlv(0x18, (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime('%Y%m%d%H%M%SZ').encode())
def name(s): return seq(at(0, integer(1)), at(1, seq(*[text(part) for part in s.split('/')])))
def sealed(key, usage, data, *kvno): return seq(at(0, integer(key.enctype)), *[at(1, integer(n)) for n in kvno], at(2, tlv(4, encrypt(key, usage, data, secrets.token_bytes(16)))))
def flags(n): return tlv(3, b'\0', n.to_bytes(4, 'big'))

def key_of(service):
    for entry in Keytab.loadFile(a.keytab).entries:
        block = entry.main_part['keyblock']
        if entry.main_part['principal'].prettyPrint().decode() == '%s@%s' % (service, a.realm) and block['keytype'] == 18:
            return Key(18, bytes.fromhex(block.hexlifiedValue().decode())), entry.kvno
    raise KeyError(service)

class Token:
    """A token of Kerberos; `claims` is what stands in the ticket, `signs` whose key it is made with."""
    def __init__(self, client='anna', service='HTTP/localhost', signs=None, begin=-60, end=3600, clock=0, binding=None, wants=0x3e, key=None):
        service_key, kvno = key_of(signs or service); self.session = Key(18, secrets.token_bytes(32))
        ticket = tlv(0x63, seq(at(0, flags(0x00400000)), at(1, seq(at(0, integer(18)), at(1, tlv(4, self.session.contents)))), at(2, text(a.realm)), at(3, name(client)),
                               at(4, seq(at(0, integer(1)), at(1, tlv(4)))), at(5, when(begin)), at(6, when(begin)), at(7, when(end))))
        data = b'tls-server-end-point:' + binding if binding else b''
        hashed = hashlib.md5(bytes(16) + len(data).to_bytes(4, 'little') + data).digest() if binding else bytes(16)
        self.microseconds = secrets.randbelow(1000000)
        who = tlv(0x62, seq(at(0, integer(5)), at(1, text(a.realm)), at(2, name(client)),
                            at(3, seq(at(0, integer(0x8003)), at(1, tlv(4, (16).to_bytes(4, 'little') + hashed + wants.to_bytes(4, 'little'))))),
                            at(4, integer(self.microseconds)), at(5, when(clock)), at(7, integer(secrets.randbelow(1 << 30)))))
        request = tlv(0x6e, seq(at(0, integer(5)), at(1, integer(14)), at(2, flags(0x20000000 if wants & 2 else 0)),
                                at(3, tlv(0x61, seq(at(0, integer(5)), at(1, text(a.realm)), at(2, name(service)), at(3, sealed(key or service_key, 2, ticket, kvno))))),
                                at(4, sealed(self.session, 11, who))))
        self.plain = tlv(0x60, tlv(6, KERBEROS), b'\1\0', request)
    def wrapped(self, *mechanisms):
        return tlv(0x60, tlv(6, SPNEGO), at(0, seq(at(0, seq(*[tlv(6, oid) for oid in mechanisms])), at(2, tlv(4, self.plain)))))
    def check_answer(self, token):
        """The server has the key: only who could read the ticket knows the session key and what the client wrote."""
        reply = token[token.index(KERBEROS + b'\2\0') + len(KERBEROS) + 2:]
        part = decoder.decode(reply, asn1Spec=AP_REP())[0]['enc-part']
        opened = decoder.decode(decrypt(self.session, 12, bytes(part['cipher'])), asn1Spec=EncAPRepPart())[0]
        assert int(opened['cusec']) == self.microseconds, opened

class Line:
    """One connection."""
    def __init__(self, tls=True):
        self.http = (http.client.HTTPSConnection(a.host, a.port, timeout=60, context=ssl.create_default_context(cafile=a.ca)) if tls
                     else http.client.HTTPConnection(a.host, a.plain, timeout=60))
        self.http.connect(); self.tls = tls
    def binding(self): return hashlib.sha256(self.http.sock.getpeercert(True)).digest() if self.tls else None
    def ask(self, method='GET', path=PATH, headers={}, body=None):
        self.http.request(method, path, body=body, headers=headers); r = self.http.getresponse(); content = r.read()
        return r.status, r.headers, content
    def send(self, token, scheme='Negotiate', **kw):
        status, headers, content = self.ask(headers={'Authorization': '%s %s' % (scheme, base64.b64encode(token).decode())}, **kw)
        back = [h.split(None, 1)[1] for h in headers.get_all('WWW-Authenticate') or [] if h.startswith('Negotiate ')]
        return status, code(content), base64.b64decode(back[0]) if back else None
def code(content):
    try: return json.loads(content)['error']['innererror']['errorCode']
    except (ValueError, KeyError): return ''

def taken(form=lambda token: token.plain, **kw):
    def step():
        line = Line(); token = Token(binding=line.binding(), **kw)
        status, why, back = line.send(form(token)); assert status == 200, (status, why)
        if kw.get('wants', 2) & 2: token.check_answer(back)
        assert line.ask()[0] == 200                               # the state belongs to the connection
        assert line.ask('POST', '/cimom', {'Content-Type': 'application/xml; charset=utf-8'}, b'<no/>')[0] != 401
        assert Line().ask()[0] == 401                             # and to no other
    return step
def refused(why, tls=True, binding=True, **kw):
    def step():
        line = Line(tls); kw['binding'] = line.binding() if binding is True else binding
        got = line.send(Token(**kw).plain)[:2]; assert got == (401, why), got
        assert line.ask()[0] == 401                               # nobody is signed in on the connection
        return why
    return step
t.run('right ticket, plain', taken()); t.run('right ticket, SPNEGO', taken(lambda token: token.wrapped(KERBEROS, NTLM)))
t.run('right ticket, SPNEGO as Windows begins it', taken(lambda token: token.wrapped(WINDOWS, KERBEROS, NTLM)))
t.run('right ticket for WSMAN', taken(service='WSMAN/localhost')); t.run('right ticket for host', taken(service='host/localhost'))
t.run('right ticket, no answer asked for', taken(wants=0x3c))
t.run('a principal that is not registered', refused('UNAUTHORIZED', client='bob'))
t.run('letter case of a principal counts', refused('UNAUTHORIZED', client='Anna'))
t.run('a service of this machine that is not this one', refused('KERBEROS_SERVICE', service='cifs/localhost'))
t.run('this service at another machine', refused('KERBEROS_SERVICE', service='HTTP/other.example'))
t.run('a service whose key is not in the keytab', refused('KERBEROS_SERVICE', service='HTTP/nowhere.example', signs='HTTP/localhost', key=Key(18, bytes(range(32)))))
t.run('a ticket that is over', refused('KERBEROS_EXPIRED', begin=-7200, end=-3600))
t.run('a ticket that is not valid yet', refused('KERBEROS_EXPIRED', begin=3600, end=7200))
t.run("a client's clock that is slow", refused('KERBEROS_SKEW', begin=-7200, clock=-1800)); t.run("a client's clock that is fast", refused('KERBEROS_SKEW', clock=1800))
t.run('a ticket made with another key', refused('KERBEROS_REFUSED', key=Key(18, bytes(32))))
t.run('no channel binding', refused('EPA_REQUIRED', binding=None))
t.run('the channel binding of another certificate', refused('EPA_REQUIRED', binding=bytes(32)))
def replayed():
    line = Line(); token = Token(binding=line.binding()).plain; assert line.send(token)[0] == 200
    for again in (line, Line(), Line()):
        got = again.send(token)[:2]; assert got == (401, 'KERBEROS_REPLAY'), got
    assert line.ask()[0] == 401                                   # a new sign-in that failed ends the one before
t.run('a token replayed', replayed)
def misshapen():
    token = Token(binding=Line().binding()); whole = token.plain; rows = [whole[:n] for n in (1, 2, 13, 15, 17, 60, len(whole) // 2, len(whole) - 1)]
    rows += [whole[:n] + bytes([whole[n] ^ 0xff]) + whole[n + 1:] for n in (14, 18, len(whole) // 2, len(whole) - 5)]
    rows += [tlv(0x60, tlv(6, KERBEROS), b'\1\0', secrets.token_bytes(12000)), tlv(0x60, tlv(6, KERBEROS)), tlv(0x60, tlv(6, KERBEROS), b'\2\0', bytes(9))]
    for bad in rows:
        status, why, _ = Line().send(bad); assert status == 401 and why in ('KERBEROS_FORMAT', 'KERBEROS_REFUSED', 'UNAUTHORIZED'), (bad[:40], status, why)
    status, why, _ = Line().send(token.plain, 'NTLM'); assert status == 401, (status, why)
    assert Line().send(token.plain)[0] == 200                     # none of them used the right one up
    return '%d tokens' % len(rows)
t.run('cut, changed and no tokens', misshapen)
def offered():
    for method, path in (('GET', PATH), ('POST', '/wsman'), ('POST', '/cimom')):
        ways = [way.split()[0] for way in Line().ask(method, path)[1].get_all('WWW-Authenticate')]
        assert ways == ['Negotiate', 'Basic', 'Bearer'], (path, ways)
t.run('what a 401 offers', offered)
def unsealed():
    line = Line(False); token = Token().plain; got = line.send(token)[:2]; assert got == (403, 'KERBEROS_UNSEALED'), got
    with open(a.save, 'w') as file: file.write(base64.b64encode(token).decode())
    status, _, content = line.ask(); assert (status, code(content)) == (403, 'KERBEROS_UNSEALED'), status
t.run('without TLS: a body that is not sealed', unsealed)
t.run('without TLS: a client that cannot seal', refused('KERBEROS_WEAK', tls=False, wants=0x2e))
t.run('without TLS: a client that does not count its messages', refused('KERBEROS_WEAK', tls=False, wants=0x32))
def ask(*words): return subprocess.run([a.restock, '--data', a.data, '--json', *words], capture_output=True, text=True)
def withdrawn():
    line = Line(); assert line.send(Token(binding=line.binding(), client='carl').plain)[0] == 200; assert line.ask()[0] == 200
    assert ask('admin', 'kerberos', 'remove', a.user, 'carl@' + a.realm).returncode == 0
    assert line.ask()[0] == 401
    line = Line(); got = line.send(Token(binding=line.binding(), client='carl').plain)[:2]; assert got == (401, 'UNAUTHORIZED'), got
t.run('a principal that is removed ends what it signed in to', withdrawn)
def disabled():
    line = Line(); assert line.send(Token(binding=line.binding(), client='dora').plain)[0] == 200
    assert ask('admin', 'account', 'disable', 'dora').returncode == 0
    assert line.ask()[0] == 401; got = Line(); got = got.send(Token(binding=got.binding(), client='dora').plain)[:2]; assert got == (401, 'UNAUTHORIZED'), got
t.run('an account that is disabled', disabled)
t.done()
