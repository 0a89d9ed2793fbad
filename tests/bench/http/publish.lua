-- What wrk sends: the request in the environment, PIPELINE times at once; and what came of it, as a
-- line: requests, microseconds, p50 and p99 in microseconds, answers that were errors, connections
-- that broke.

local request_text

function init()
    local fields = {["Content-Type"] = os.getenv("TYPE")}
    if os.getenv("AUTHORIZATION") ~= "" then
        fields["Authorization"] = os.getenv("AUTHORIZATION")
    end
    local one = wrk.format("POST", os.getenv("TARGET"), fields, os.getenv("BODY"))
    request_text = string.rep(one, tonumber(os.getenv("PIPELINE")))
end

function request()
    return request_text
end

function done(summary, latency)
    local e = summary.errors
    print(string.format("came %d %d %d %d %d %d", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), e.status,
        e.connect + e.read + e.write + e.timeout))
end
