// Post what standardwebhooks has signed: each twice, as a sender does that did not hear the answer.
import { Webhook } from "standardwebhooks";
import assert from "node:assert";

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const url = `http://${process.argv[2]}/v1/hooks/std`;
const hook = new Webhook(secret);

async function post(id, at, body, signature) {
    const r = await fetch(url, {
        method: "POST",
        headers: {
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": Math.floor(at.getTime() / 1000).toString(),
            "webhook-signature": signature,
        },
        body,
    });
    return [r.status, await r.json()];
}

for (let i = 0; i < 20; i++) {
    const body = JSON.stringify({ type: "a.b", data: { n: i, text: "gr\u00fc\u00dfe".repeat(i * 100) } });
    for (const at of [new Date(), new Date(Date.now() - 60000)]) {
        const answer = await post(`msg_${i}`, at, body, hook.sign(`msg_${i}`, at, body));
        assert.deepEqual(answer, [202, { matched: 1, accepted: 1 }]);
    }
}
const now = new Date();
for (const [at, signed, signature] of [
    [now, "{}", hook.sign("x", now, "{ }")],
    [now, "{}", hook.sign("y", now, "{}")],
    [now, "{}", new Webhook("whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=").sign("x", now, "{}")],
    [new Date(0), "{}", hook.sign("x", new Date(0), "{}")],
]) {
    const [status, body] = await post("x", at, signed, signature);
    assert.equal(status, 401);
    assert.equal(body.error.reason, "denied");
    assert.throws(() => hook.verify(signed, {
        "webhook-id": "x",
        "webhook-timestamp": Math.floor(at.getTime() / 1000).toString(),
        "webhook-signature": signature,
    }));
}
