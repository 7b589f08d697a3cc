// Takes what arrives for a webhook if the official library verifies it with one
// of the secrets in DIR/secrets.json, and tells it in DIR/got.jsonl.  The answer
// to what is taken is in DIR/answer.json.

'use strict';

const fs = require('fs');
const http = require('http');
const { Webhook } = require('standardwebhooks');

const [dir, port] = process.argv.slice(2);

const read = name => JSON.parse(fs.readFileSync(`${dir}/${name}`, 'utf8'));

function verify(secret, body, headers) {
    try {
        return { payload: new Webhook(secret).verify(body, headers) };
    } catch (e) {
        return { error: e.message };
    }
}

http.createServer((request, response) => {
    const chunks = [];

    request.on('data', chunk => chunks.push(chunk));

    request.on('end', () => {
        const body = Buffer.concat(chunks);
        const results = read('secrets.json').map(
            secret => verify(secret, body.toString(), request.headers));
        const taken = results.find(result => result.payload);
        const answer = taken ? read('answer.json') : { status: 401 };

        fs.appendFileSync(`${dir}/got.jsonl`, JSON.stringify({
            method: request.method, url: request.url, raw: request.rawHeaders,
            headers: request.headers, body: body.toString('latin1'),
            verified: results.map(result => !!result.payload),
            errors: results.map(result => result.error || null),
            payload: taken ? taken.payload : null, status: answer.status,
        }) + '\n');

        if (answer.lost) {
            request.socket.destroy();
            return;
        }

        response.writeHead(answer.status, answer.headers || {});
        response.end(answer.body || '');
    });
}).listen(port, '127.0.0.1');
