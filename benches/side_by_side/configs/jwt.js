// The caller of a request: the subject of its JWT, or nothing when the JWT does not hold.

import crypto from 'crypto';

const SECRET = '@SECRET@';
const ISSUER = '@ISSUER@';
const AUDIENCE = '@AUDIENCE@';

function parse(part) {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
}

function caller(r) {
    const presented = r.headersIn.Authorization;
    if (!presented || !presented.startsWith('Bearer ')) {
        return '';
    }
    const parts = presented.slice(7).split('.');
    if (parts.length !== 3) {
        return '';
    }
    const signed = crypto.createHmac('sha256', SECRET).update(parts[0] + '.' + parts[1]);
    if (signed.digest('base64url') !== parts[2] || parse(parts[0]).alg !== 'HS256') {
        return '';
    }
    const claims = parse(parts[1]);
    const holds = claims.iss === ISSUER && claims.aud === AUDIENCE && claims.exp > Date.now() / 1000;
    return holds ? claims.sub : '';
}

export default { caller };
