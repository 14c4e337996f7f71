"""NTLM at the management doors with published implementations: pyspnego, which sends a MIC, and impacket, which sends none."""
import base64, hashlib, http.client, json, os, ssl
import spnego
from impacket import ntlm as without_mic
from spnego.channel_bindings import GssChannelBindings
from steps import args, Steps
a = args(8725, plain=dict(type=int, required=True, help='port of the listener without TLS'),
         account_password=dict(required=True, help='what the account signs in with otherwise'))
t = Steps('sign-in', a.debug)
PATH, SEALED = '/AdminService/wmi/SMS_Site', 'application/HTTP-SPNEGO-session-encrypted'

class Line:
    """One connection."""
    def __init__(self, tls=True):
        self.tls = tls
        self.http = (http.client.HTTPSConnection(a.host, a.port, timeout=60, context=ssl.create_default_context(cafile=a.ca)) if tls
                     else http.client.HTTPConnection(a.host, a.plain, timeout=60))
        self.http.connect()
    def binding(self, cert=None):
        if not self.tls: return None
        cert = cert or self.http.sock.getpeercert(True)
        return GssChannelBindings(application_data=b'tls-server-end-point:' + hashlib.sha256(cert).digest())
    def ask(self, method='GET', path=PATH, headers={}, body=None):
        self.http.request(method, path, body=body, headers=headers); r = self.http.getresponse(); text = r.read()
        return r.status, r.headers, text
    def token(self, token, scheme='Negotiate', **kw):
        """Sends a token; the status, the code of a refusal and the token that came back."""
        token = token if isinstance(token, str) else base64.b64encode(token).decode()
        status, headers, text = self.ask(headers=dict(kw.pop('headers', {}), Authorization='%s %s' % (scheme, token)), **kw)
        back = [h.split(None, 1)[1] for h in headers.get_all('WWW-Authenticate') or [] if h.startswith(scheme + ' ')]
        return status, code(text), base64.b64decode(back[0]) if back else None

def code(text):
    try: return json.loads(text)['error']['innererror']['errorCode']
    except (ValueError, KeyError): return ''
def client(line, user=a.user, password=a.password, protocol='ntlm', service='http', host=a.host, binding=True, **kw):
    return spnego.client(user, password, hostname=host, service=service, protocol=protocol, options=spnego.NegotiateOptions.use_ntlm,
                         channel_bindings=line.binding() if binding is True else binding or None, **kw)
def sign_in(line, context, scheme='Negotiate', **kw):
    """Both legs; how the second ended."""
    status, _, challenge = line.token(context.step(), scheme)
    assert status == 401 and challenge, status
    last = context.step(challenge); context.last = last
    status, why, token = line.token(last, scheme, **kw)
    if token: context.step(token); assert context.complete
    return status, why
def refused(why, tls=True, scheme='Negotiate', user=a.user, password=a.password, **kw):
    def step():
        line = Line(tls); got = sign_in(line, client(line, user, password, **kw), scheme)
        assert got == (401, why), got
        status, _, _ = line.ask(); assert status == 401, status   # nobody is signed in on the connection
    return step
def taken(scheme, protocol, user=a.user):
    def step():
        line = Line(); got = sign_in(line, client(line, user, protocol=protocol), scheme); assert got[0] == 200, got
        assert line.ask()[0] == 200                               # the state belongs to the connection
        assert Line().ask()[0] == 401                             # and to no other
    return step
t.run('right secret, NTLM', taken('NTLM', 'ntlm')); t.run('right secret, Negotiate', taken('Negotiate', 'negotiate'))
t.run('right secret, plain NTLM under Negotiate', taken('Negotiate', 'ntlm'))
t.run('right secret, name in upper case and with a domain', taken('NTLM', 'ntlm', 'ELSEWHERE\\' + a.user.upper()))
t.run('wrong secret, NTLM', refused('UNAUTHORIZED', password='wrong', scheme='NTLM'))
t.run('wrong secret, Negotiate', refused('UNAUTHORIZED', password='wrong', protocol='negotiate'))
t.run('the password of the account is not its secret', refused('UNAUTHORIZED', password=a.account_password))
t.run('unknown user with a known secret', refused('UNAUTHORIZED', user='nobody'))
t.run('no channel binding', refused('EPA_REQUIRED', binding=False))
t.run('the channel binding of another certificate', refused('EPA_REQUIRED', binding=GssChannelBindings(application_data=b'tls-server-end-point:' + bytes(32))))
t.run('made for another host', refused('NTLM_TARGET', host='other.example'))
t.run('made for another service', refused('NTLM_TARGET', service='cifs'))
def version_1():
    os.environ['LM_COMPAT_LEVEL'] = '2'
    try: refused('NTLM_WEAK')()
    finally: del os.environ['LM_COMPAT_LEVEL']
t.run('version 1', version_1)
def no_mic(user, password):
    def step():
        line = Line(); first = without_mic.getNTLMSSPType1('', '')
        status, _, challenge = line.token(first.getData()); assert status == 401 and challenge
        last, _ = without_mic.getNTLMSSPType3(first, challenge, user, password, '', service='HTTP')
        got = line.token(last.getData())[:2]; assert got == (401, 'NTLM_WEAK'), got
        assert line.ask()[0] == 401
    return step
t.run('no MIC, right secret', no_mic(a.user, a.password)); t.run('no MIC, wrong secret', no_mic(a.user, 'wrong'))
t.run('no MIC, unknown user', no_mic('nobody', a.password)); t.run('anonymous', no_mic('', ''))
def replayed():
    line = Line(); context = client(line); assert sign_in(line, context)[0] == 200
    other = Line(); status, _, challenge = other.token(client(other).step()); assert challenge
    status, why, _ = other.token(context.last); assert status == 401 and why in ('UNAUTHORIZED', 'NTLM_TARGET'), (status, why)
    status, why, _ = Line().token(context.last); assert (status, why) == (401, 'NTLM_FORMAT'), (status, why)
t.run('a last message replayed, and without a first one', replayed)
def misshapen():
    line = Line(); context = client(line); first = context.step(); whole = context.step(line.token(first)[2])
    rows = [b'', b'NTLMSSP\0', first + bytes(9000)] + [whole[:n] for n in (10, 63, 87, 100, len(whole) - 1)]
    for offset in (12, 20, 28, 36, 44, 52):
        rows.append(whole[:offset] + b'\xff\x7f\xff\x7f\xff\xff\xff\xff' + whole[offset + 8:])
    for bad in rows:
        line = Line()
        if bad[:12] != first[:12]: assert line.token(first)[2]
        status, why, _ = line.token(bad); assert (status, why) == (401, 'NTLM_FORMAT'), (bad[:90], status, why)
    for bad in ('', '!!!', 'a'): assert Line().token(bad)[:2] == (401, 'NTLM_FORMAT'), bad
    return '%d messages' % len(rows)
t.run('oversized, cut, and pointing outside themselves', misshapen)
def offered():
    ways = lambda path, method='GET': Line().ask(method, path)[1].get_all('WWW-Authenticate')
    assert [w.split()[0] for w in ways(PATH)] == ['Negotiate', 'NTLM', 'Basic', 'Bearer'], ways(PATH)
    assert [w.split()[0] for w in ways('/wsman', 'POST')] == ['Negotiate', 'Basic', 'Bearer']
    assert [w.split()[0] for w in ways('/cimom', 'POST')] == ['Basic', 'Bearer']
    line = Line(); status, _, _ = line.token(client(line).step(), method='POST', path='/cimom'); assert status == 401
t.run('what a 401 offers', offered)

def unsealed():
    line = Line(False); got = sign_in(line, client(line)); assert got == (403, 'NTLM_UNSEALED'), got
    status, _, text = line.ask(); assert (status, code(text)) == (403, 'NTLM_UNSEALED'), status
t.run('without TLS: a body that is not sealed', unsealed)
t.run('without TLS: a client that cannot seal', refused('NTLM_WEAK', tls=False, context_req=spnego.ContextReq.integrity))
def seal(context, body, change=lambda data: data):
    w = context.wrap_winrm(body); data = change(w.data)
    return b'\r\n'.join([b'--Encrypted Boundary', b'\tContent-Type: ' + SEALED.encode(), b'\tOriginalContent: type=application/json;Length=%d' % len(body),
        b'--Encrypted Boundary', b'\tContent-Type: application/octet-stream', len(w.header).to_bytes(4, 'little') + w.header + data + b'--Encrypted Boundary--', b''])
HEAD = {'Content-Type': 'multipart/encrypted;protocol="%s";boundary="Encrypted Boundary"' % SEALED}
def opened(context, headers, text):
    assert headers['Content-Type'].startswith('multipart/encrypted;'), headers['Content-Type']
    part = text.split(b'\tContent-Type: application/octet-stream\r\n', 1)[1]; part = part[:part.rindex(b'--Encrypted Boundary--')]
    return json.loads(context.unwrap_winrm(part[4:20], part[20:]))
def sealing(protocol, tls=False):
    def step():
        line = Line(tls); context = client(line, protocol=protocol, context_req=spnego.ContextReq.default)
        got = sign_in(line, context, method='POST', path='/wsman'); assert got[0] == 200, got
        for n in range(3):
            status, headers, text = line.ask('POST', '/AdminService/wmi/SMS_Package', HEAD, seal(context, json.dumps({'Nope': n}).encode()))
            assert (status, opened(context, headers, text)['error']['innererror']['errorCode']) == (400, 'UNKNOWN_PROPERTY'), status
        status, headers, text = line.ask('POST', '/AdminService/wmi/SMS_Package', HEAD, seal(context, b'{"Name":"sealed","PkgSourceFlag":1}'))
        made = opened(context, headers, text); assert status == 201 and made['Name'] == 'sealed', (status, made)
        status, headers, text = line.ask('DELETE', '/AdminService/wmi/SMS_Package(\'%s\')' % made['PackageID'], HEAD, seal(context, b'{}'))
        assert status in (204, 200, 400), status
    return step
t.run('without TLS: sealed bodies, NTLM', sealing('ntlm')); t.run('without TLS: sealed bodies, Negotiate', sealing('negotiate'))
t.run('sealed bodies over TLS', sealing('negotiate', True))
def changed(how):
    def step():
        line = Line(False); context = client(line); got = sign_in(line, context, method='POST', path='/wsman'); assert got[0] == 200, got
        body = how(context); status, headers, text = line.ask('POST', '/AdminService/wmi/SMS_Package', HEAD, body)
        assert (status, code(text), headers['Connection']) == (400, 'SEALED_FORMAT', 'close'), (status, text[:200])
    return step
flip = lambda data: data[:1] + bytes([data[1] ^ 1]) + data[2:]
t.run('a sealed body that was changed', changed(lambda c: seal(c, b'{"Name":"x"}', flip)))
t.run('a sealed body out of its order', changed(lambda c: (seal(c, b'{}'), seal(c, b'{}'))[1]))
t.run('a sealed body of another length', changed(lambda c: seal(c, b'{"Name":"x"}').replace(b'Length=12', b'Length=11')))
t.done()
