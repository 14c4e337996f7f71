"""Kerberos at the management doors with published clients and tickets of a KDC: requests with two implementations, and pyspnego for
what is sealed. The ticket of --user is in the cache of the environment."""
import base64, hashlib, http.client, json, ssl
import requests, spnego
from requests_gssapi import HTTPSPNEGOAuth, REQUIRED as GSSAPI_REQUIRED
from requests_kerberos import HTTPKerberosAuth, REQUIRED
from spnego.channel_bindings import GssChannelBindings
from spnego.iov import BufferType
from steps import args, Steps
a = args(8725, plain=dict(type=int, required=True, help='port of the listener without TLS'), other=dict(required=True, help='a principal without an account'),
         other_password=dict(required=True))
t = Steps('kerberos', a.debug)
PATH, PACKAGES = '/AdminService/wmi/SMS_Site', '/AdminService/wmi/SMS_Package'
S = 'https://%s:%d' % (a.host, a.port)
def code(content):
    try: return json.loads(content)['error']['innererror']['errorCode']
    except (ValueError, KeyError): return ''

def session(auth):
    s = requests.Session(); s.verify = a.ca; s.trust_env = False; s.auth = auth; return s
def reads(auth, again):
    def step():
        s = session(auth())                                       # the client itself checks what the server answers
        for n in range(again): r = s.get(S + PATH); assert r.status_code == 200 and r.json()['value'], (r.status_code, r.text[:200])
    return step
def writes():
    s = session(HTTPKerberosAuth(mutual_authentication=REQUIRED))
    r = s.post(S + PACKAGES, json={'Name': 'by ticket', 'PkgSourceFlag': 1}); assert r.status_code == 201, (r.status_code, r.text[:200])
    r = s.delete(S + PACKAGES + "('%s')" % r.json()['PackageID']); assert r.status_code == 204, (r.status_code, r.text[:200])
def unbound():
    r = session(HTTPSPNEGOAuth()).get(S + PATH); assert (r.status_code, code(r.content)) == (401, 'EPA_REQUIRED'), (r.status_code, r.text[:200])
t.run('requests-kerberos: read', reads(lambda: HTTPKerberosAuth(mutual_authentication=REQUIRED), 3)); t.run('requests-kerberos: create and delete', writes)
# This one wants a token in each answer, also of a connection that is signed in.
t.run('requests-gssapi: read', reads(lambda: HTTPSPNEGOAuth(mutual_authentication=GSSAPI_REQUIRED, channel_bindings='tls-server-end-point'), 1))
t.run('requests-gssapi: no channel binding', unbound)

class Line:
    """One connection."""
    def __init__(self, tls=True):
        self.http = (http.client.HTTPSConnection(a.host, a.port, timeout=60, context=ssl.create_default_context(cafile=a.ca)) if tls
                     else http.client.HTTPConnection(a.host, a.plain, timeout=60))
        self.http.connect(); self.tls = tls
    def ask(self, method='GET', path=PATH, headers={}, body=None):
        self.http.request(method, path, body=body, headers=headers); r = self.http.getresponse(); content = r.read()
        return r.status, r.headers, content
    def client(self, user=a.user, password=a.password, protocol='kerberos', service='HTTP'):
        data = b'tls-server-end-point:' + hashlib.sha256(self.http.sock.getpeercert(True)).digest() if self.tls else None
        return spnego.client(user, password, hostname=a.host, service=service, protocol=protocol, channel_bindings=GssChannelBindings(application_data=data) if data else None)
    def sign_in(self, context, **kw):
        """How the last token of a sign-in was answered."""
        token = context.step()
        while token:
            status, headers, content = self.ask(headers={'Authorization': 'Negotiate ' + base64.b64encode(token).decode()}, **kw)
            back = [h.split(None, 1)[1] for h in headers.get_all('WWW-Authenticate') or [] if h.startswith('Negotiate ')]
            if not back: break
            token = context.step(base64.b64decode(back[0]))
        return status, code(content)
def stays():
    line = Line(); context = line.client(); assert line.sign_in(context) == (200, '') and context.complete
    assert line.ask()[0] == 200 and line.ask('POST', '/wsman', {'Content-Type': 'application/soap+xml;charset=UTF-8'}, b'<no/>')[0] != 401
    assert Line().ask()[0] == 401
t.run('the state belongs to the connection', stays)
def goes_on():
    line = Line(); sock, body = line.http.sock, json.dumps({'Name': 'x' * 600000}).encode()
    status, headers, _ = line.ask('POST', PACKAGES, {'Content-Type': 'application/json'}, body); assert status == 401 and 'Negotiate' in headers.get_all('WWW-Authenticate'), status
    assert line.sign_in(line.client()) == (200, '') and line.http.sock is sock
t.run('a long request without a token leaves the connection to sign in on', goes_on)
def refused(why, **kw):
    def step():
        line = Line(); got = line.sign_in(line.client(**kw)); assert got == (401, why), got
        assert line.ask()[0] == 401
    return step
t.run('a principal without an account', refused('UNAUTHORIZED', user=a.other, password=a.other_password))
t.run('a ticket for another service of the machine', refused('KERBEROS_SERVICE', service='cifs'))

LABELS = {'spnego': 'application/HTTP-SPNEGO-session-encrypted', 'kerberos': 'application/HTTP-Kerberos-session-encrypted'}
def head(label): return {'Content-Type': 'multipart/encrypted;protocol="%s";boundary="Encrypted Boundary"' % LABELS[label]}
def form(label, signature, data):
    return b'\r\n'.join([b'--Encrypted Boundary', b'\tContent-Type: ' + LABELS[label].encode(), b'\tOriginalContent: type=application/json;Length=%d' % len(data),
        b'--Encrypted Boundary', b'\tContent-Type: application/octet-stream', len(signature).to_bytes(4, 'little') + signature + data + b'--Encrypted Boundary--', b''])
def seal(context, body, label='spnego', change=lambda data: data):
    w = context.wrap_winrm(body); return form(label, w.header, change(w.data))
def opened(context, headers, content, label='spnego'):
    assert headers['Content-Type'] == head(label)['Content-Type'], headers['Content-Type']
    part = content.split(b'\tContent-Type: application/octet-stream\r\n', 1)[1]; part = part[:part.rindex(b'--Encrypted Boundary--')]
    n = int.from_bytes(part[:4], 'little'); return json.loads(context.unwrap_winrm(part[4:4 + n], part[4 + n:]))
def signed_in(tls, protocol='kerberos'):
    line = Line(tls); context = line.client(protocol=protocol); got = line.sign_in(context, method='POST', path='/wsman'); assert got[0] == 200, got
    return line, context
def sealing(protocol, tls=False, label='spnego'):
    def step():
        line, context = signed_in(tls, protocol)
        for n in range(3):
            status, headers, content = line.ask('POST', PACKAGES, head(label), seal(context, json.dumps({'Nope': n}).encode(), label))
            assert (status, opened(context, headers, content, label)['error']['innererror']['errorCode']) == (400, 'UNKNOWN_PROPERTY'), status
        status, headers, content = line.ask('POST', PACKAGES, head(label), seal(context, b'{"Name":"sealed","PkgSourceFlag":1}', label))
        made = opened(context, headers, content, label); assert status == 201 and made['Name'] == 'sealed', (status, made)
    return step
t.run('sealed bodies without TLS, Kerberos', sealing('kerberos')); t.run('sealed bodies without TLS, Negotiate', sealing('negotiate'))
t.run('sealed bodies without TLS, called Kerberos', sealing('kerberos', label='kerberos')); t.run('sealed bodies over TLS', sealing('kerberos', True))
def broken(how):
    def step():
        line, context = signed_in(False); body = how(line, context); status, headers, content = line.ask('POST', PACKAGES, head('spnego'), body)
        assert (status, code(content), headers['Connection']) == (400, 'SEALED_FORMAT', 'close'), (status, content[:200])
    return step
flip = lambda data: data[:1] + bytes([data[1] ^ 1]) + data[2:]
t.run('a sealed body that was changed', broken(lambda line, c: seal(c, b'{"Name":"x"}', change=flip)))
def again(line, context):
    body = seal(context, b'{"Nope":1}'); status = line.ask('POST', PACKAGES, head('spnego'), body)[0]; assert status == 400
    return body
t.run('a sealed body that was sent before', broken(again)); t.run('a sealed body out of its order', broken(lambda line, c: (seal(c, b'{}'), seal(c, b'{}'))[1]))
def only_signed(line, context):
    header, data = context.wrap_iov([BufferType.header, b'{"Name":"x"}', BufferType.padding], encrypt=False).buffers[:2]
    return form('spnego', header.data, data.data)
t.run('a body that is signed and not sealed', broken(only_signed))
t.done()
