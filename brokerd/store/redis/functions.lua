#!lua name=brokerd_1
-- What brokerd does in Redis: each function is one step of one queue, atomic. Loaded by brokerd when
-- it connects (FUNCTION LOAD); docs/stores-redis.md tells how to look at the keys.
--
-- KEYS of a queue, all of one slot; functions get these four:
--   1  PREFIX:{QUEUE}:m  hash    seq, cum, max: number of the last message put, payload bytes of all
--                                that ever were, the largest lately; rn, rb: messages and bytes that
--                                came back; gone: bytes of all that are no more; x: some may wait
--                                that have a time of their own; w, r: channels of
--                                nodes that wait for messages, for room; l:NODE: what it has put
--   2  PREFIX:{QUEUE}:s  stream  SEQ-CUM -> one field: its name is m (facts, topic, type, headers),
--                                its value d, the payload; group w
--   3  PREFIX:{QUEUE}:b  zset    came back: SEQ-CUM, by when it is due (ms by Redis's clock; 0: now)
--   4  PREFIX:{QUEUE}:a  hash    the same: deliveries and bytes
-- In b and a SEQ has 20 digits: so they sort as they count.
--
-- A message is *new*: above the group's last-delivered-id; or *held*: pending, in a node's hands; or
-- *back*: in b and a. Who waits is new or back. As nobody deletes but from the head of the new ones,
-- and moves the group along, numbers of the new ones have no holes, and the ids of the last put and
-- the last delivered say how many there are, and how many bytes: that is why a plain XREADGROUP is
-- enough to take some, without a function, at more than twice the speed.
--
-- `m` of a message: EXPIRES TIME ID TYPE TOPIC_LEN TYPE_LEN HEADERS_LEN, a blank behind each, then
-- topic, type and headers. EXPIRES: `-` never, else ms since 1970; TIME: when it was published.
--
-- No call does more than a bounded piece of work, whatever the queue's depth: who has more to do is
-- told so, and calls again.

local REVISION = 5
local GROUP = 'w'
local STEP = 256 -- messages of one piece of work
local STEP_BYTES = 1048576
local FEW = 32 -- of what may have any size
local MOST_BYTES = 8388608 -- of one reply, or one message
local BEYOND = 16384 -- a queue may be beyond its limit by, until dead letters are made of its oldest
local BEYOND_BYTES = 16777216
local EPOCH_MS = 1735689600000 -- 2025

local function now_ms()
    local t = redis.call('TIME')
    return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function gone()
    return redis.error_reply('GONE the queue does not exist')
end

local function member_of(id)
    local seq, cum = string.match(id, '^(%d+)-(%d+)$')
    return string.format('%020d-%s', seq, cum)
end

-- nil: nobody of ours wrote it.
local function id_of(member)
    local seq, cum = string.match(member, '^(%d+)-(%d+)$')
    if not seq or #seq ~= 20 or #cum > 19 or tonumber(seq) > 9007199254740992 then
        return nil
    end
    return string.match(member, '^0*(.+)$')
end

-- Of an entry {id, {m, d}}.
local function size_of(entry)
    return #entry[2][2]
end

-- When its time is over: its own, or that which the queue allows (ttl, 0: for ever). nil: never;
-- 0: nobody's, somebody wrote it by hand.
local function end_of(entry, ttl)
    local expires, time = string.match(entry[2][1], '^(%S+) (%d+) ')
    if not time then
        return 0
    end
    local at = tonumber(expires)
    return ttl > 0 and math.min(at or math.huge, time + ttl) or at
end

-- ttl -1: nothing is to be dropped for that here.
local function is_over(entry, now, ttl)
    local at = ttl >= 0 and end_of(entry, ttl)
    return at and at <= now
end

-- nil: the stream does not exist, or has no group: it was evicted, or deleted by hand.
local function group_of(keys)
    local groups = redis.pcall('XINFO', 'GROUPS', keys[2])
    if groups.err and not string.find(groups.err, 'no such key', 1, true) then
        error(groups.err)
    end
    for _, g in ipairs(groups) do
        if g[2] == GROUP then
            return g -- name, .., consumers, .., pending, .., last
        end
    end
end

-- How the queue stands; nil: it does not exist, or a part of it is gone.
--   seq, cum, max, rn, rb: as in m; last: the id behind which all is new; held: how many are;
--   n, b: messages and bytes that wait
local function stand(keys)
    local h = redis.call('HMGET', keys[1], 'seq', 'cum', 'max', 'rn', 'rb', 'w', 'r')
    if not h[1] then
        return nil
    end
    local g = group_of(keys)
    if not g or (h[4] ~= '0' and redis.call('EXISTS', keys[3], keys[4]) < 2) then
        return nil
    end
    local last, last_cum = string.match(g[8], '^(%d+)-(%d+)$')
    local q = {
        seq = tonumber(h[1]), cum = tonumber(h[2]), max = tonumber(h[3]), rn = tonumber(h[4]),
        rb = tonumber(h[5]), w = h[6], r = h[7], last = g[8], held = g[6],
    }
    q.fresh = q.seq - last
    q.n = q.fresh + q.rn
    q.b = q.cum - last_cum + q.rb
    return q
end

-- How many messages make a piece of work of so many bytes, going by those that wait.
local function piece(q, bytes)
    local k = q.n > 0 and math.floor(bytes * q.n / (q.b + 1)) or STEP
    return math.max(1, math.min(k, STEP, math.floor(MOST_BYTES / (q.max + 1))))
end

-- `what`: news (something was put), back (something came back), room.
local function publish(keys, channels, what)
    for channel in string.gmatch(channels, '%S+') do
        redis.call('PUBLISH', channel, what .. ' ' .. string.sub(keys[1], 1, -3))
    end
end

-- Messages may be taken now: those who wait are told, but for the caller, who learns by the answer.
local function news(keys, waiting, own, what)
    local found = 0
    if waiting then
        redis.call('HDEL', keys[1], 'w')
        for channel in string.gmatch(waiting, '%S+') do
            if channel == own then
                found = 1
            else
                publish(keys, channel, what)
            end
        end
    end
    return found
end

-- There is room: those who wait for it are told.
local function room(keys, waiting)
    if waiting then
        redis.call('HDEL', keys[1], 'r')
        publish(keys, waiting, 'room')
    end
end

local function join(keys, field, list, channel)
    if not list then
        redis.call('HSET', keys[1], field, channel)
    elseif not string.find(' ' .. list .. ' ', ' ' .. channel .. ' ', 1, true) then
        redis.call('HSET', keys[1], field, list .. ' ' .. channel)
    end
end

local function came_back(keys, n, bytes)
    redis.call('HINCRBY', keys[1], 'rn', n)
    redis.call('HINCRBY', keys[1], 'rb', string.format('%d', bytes))
end

local function count_gone(keys, bytes)
    redis.call('HINCRBY', keys[1], 'gone', string.format('%d', bytes))
end

-- A message that was held waits again. Not pending any more, but in b and a.
local function put_back(keys, id, bytes, attempts, due)
    local member = member_of(id)
    redis.call('ZADD', keys[3], due, member)
    redis.call('HSET', keys[4], member, string.format('%d %d', attempts, bytes))
end

-- Up to k of those that came back, by the time they are due, until they have `most` bytes, are that
-- no more. Returns them as {id, attempts}, their bytes, and how many more were there that nobody of
-- ours wrote.
local function pull_back(keys, from, to, k, most)
    local members = redis.call('ZRANGEBYSCORE', keys[3], from, to, 'LIMIT', 0, k)
    if #members == 0 then
        return {}, 0, 0
    end
    local facts = redis.call('HMGET', keys[4], unpack(members))
    local out, bytes, counted, n = {}, 0, 0, 0
    for i, member in ipairs(members) do
        if i > 1 and bytes >= most then
            break
        end
        n = i
        local id = id_of(member)
        local attempts, size = string.match(facts[i] or '', '^(%d+) (%d+)$')
        if size then -- as put_back() wrote it
            counted, bytes = counted + 1, bytes + size
        end
        if id then
            out[#out + 1] = {id, tonumber(attempts or 1)}
        end
    end
    redis.call('ZREM', keys[3], unpack(members, 1, n))
    redis.call('HDEL', keys[4], unpack(members, 1, n))
    if counted > 0 then -- (HINCRBY does not take a -0)
        came_back(keys, -counted, -bytes)
    end
    return out, bytes, n - #out
end

-- Delete entries that lie at the head of the new ones, until they have `most` bytes. Returns how many.
local function cut(keys, entries, most)
    local ids, bytes = {}, 0
    for i, entry in ipairs(entries) do
        if i > 1 and bytes >= most then
            break
        end
        ids[i] = entry[1]
        bytes = bytes + size_of(entry)
    end
    if #ids > 0 then
        redis.call('XDEL', keys[2], unpack(ids))
        redis.call('XGROUP', 'SETID', keys[2], GROUP, ids[#ids])
        count_gone(keys, bytes)
    end
    return #ids
end

-- Drop a piece of the oldest that wait: at most k, and not more than make so many bytes. Returns how
-- many; nil: there was none.
local function drop_oldest(keys, q, k, most)
    k = math.max(1, math.min(k, piece(q, STEP_BYTES)))
    local back, bytes, alien = pull_back(keys, '-inf', '+inf', k, most)
    for _, one in ipairs(back) do
        redis.call('XDEL', keys[2], one[1])
    end
    if #back + alien > 0 then
        count_gone(keys, bytes)
        return #back
    end
    local entries = redis.call('XRANGE', keys[2], '(' .. q.last, '+', 'COUNT', k)
    return #entries > 0 and cut(keys, entries, most) or nil
end

-- Drop a piece of what is too old at the head of the new ones. Returns how many.
local function drop_expired(keys, q, ttl)
    local now, old = now_ms(), {}
    local first = redis.call('XRANGE', keys[2], '(' .. q.last, '+', 'COUNT', 1)[1]
    if not first or not is_over(first, now, ttl) then -- a put may ask so for each message
        return 0
    end
    for _, entry in ipairs(redis.call('XRANGE', keys[2], '(' .. q.last, '+', 'COUNT',
                                      piece(q, STEP_BYTES))) do
        if not is_over(entry, now, ttl) then
            break
        end
        old[#old + 1] = entry
    end
    return cut(keys, old, math.huge)
end

-- A node's record, `UPTO[ FROM-TO]*`: all labels below UPTO were looked at, and taken but for those.
-- Of [first, first + count): how many were looked at, and taken; and the record without what is
-- below `done`.
local function remembered(record, first, count, done)
    local upto = tonumber(string.match(record, '^%d+'))
    local seen = math.max(0, math.min(upto - first, count))
    local taken, kept = seen, ''
    for from, to in string.gmatch(record, ' (%d+)-(%d+)') do
        if tonumber(from) < first + seen and tonumber(to) >= first then
            taken = math.min(taken, math.max(from - first, 0))
        end
        if tonumber(to) >= done then
            kept = kept .. ' ' .. from .. '-' .. to
        end
    end
    return upto, seen, taken, kept
end

-- Make room for a message of len bytes. Returns whether there is, how the queue stands, and how many
-- were dropped, and dropped as expired.
local function make_room(keys, q, len, limits, more)
    local dropped, expired = 0, 0
    while q.n > 0 and (q.n >= limits.n or q.b + len > limits.b) do
        local k = drop_expired(keys, q, limits.ttl)
        expired = expired + k
        if k == 0 then
            if limits.overflow ~= 'oldest' then
                return false, q, dropped, expired
            end
            local need = q.b + len - limits.b
            if q.n >= limits.n then
                k = drop_oldest(keys, q, q.n - limits.n + more, math.huge)
            else
                k = drop_oldest(keys, q, math.ceil(need * q.n / math.max(q.b, 1)), need)
            end
            if not k then -- somebody has deleted what the numbers speak of
                return true, q, dropped, expired
            end
            dropped = dropped + k
        end
        q = stand(keys)
    end
    return true, q, dropped, expired
end

-- put NODE CHANNEL FIRST DONE MAX_N MAX_B OVERFLOW TTL OWN (M D)*
-- Messages with the labels FIRST, FIRST + 1 .. of that node: those of one queue have no holes, and
-- those below DONE were answered. OVERFLOW when full: `block` and `reject` take those before, `oldest`
-- takes all, and drops, `beyond` takes all and leaves dropping to `tidy`; with `block`, and where that
-- is too late, what is behind is put again, and the node is told of room. OWN: 1, some have a time of
-- their own; 0.
-- Answers: taken (from the first on), dropped, and as expired; may the node itself fetch; is the rest
-- to be put again; is the queue beyond its limit. Said twice it takes nothing twice.
local function put(keys, args)
    local field, channel, first = 'l:' .. args[1], args[2], tonumber(args[3])
    local limits = {
        n = tonumber(args[5]), b = tonumber(args[6]), overflow = args[7], ttl = tonumber(args[8]),
    }
    local count = (#args - 9) / 2
    local q = stand(keys)
    if not q then
        return gone()
    end
    -- Of a node that was thought dead there is none: all that was not answered is to be put again.
    local record = redis.call('HGET', keys[1], field) or args[4]
    local upto, at, taken, kept = remembered(record, first, count, tonumber(args[4]))
    if first > upto and first > tonumber(args[4]) then
        return {0, 0, 0, 0, 1, 0} -- what comes before is to be put again: so is this
    end
    if at == count then
        redis.call('HSET', keys[1], field, record) -- a write: WAIT behind it speaks of all before
        return {taken, 0, 0, 0, 0, 0}
    end

    local full, dropped, expired = false, 0, 0
    local call, fmt, s, seq, cum, n, b, max = redis.call, string.format, keys[2], q.seq, q.cum, q.n,
        q.b, q.fresh == 0 and 0 or q.max
    local max_n, max_b = limits.n, limits.b
    if limits.overflow == 'beyond' then
        max_n, max_b = max_n + BEYOND, max_b + BEYOND_BYTES
    end
    while at < count do
        local d = args[11 + 2 * at]
        local len = #d
        if n > 0 and (n >= max_n or b + len > max_b) then
            call('HSET', keys[1], 'seq', seq, 'cum', fmt('%d', cum), 'max', max)
            local has_room, now, k, old = make_room(keys, stand(keys), len, limits, count - at)
            dropped, expired, n, b = dropped + k, expired + old, now.n, now.b
            if not has_room then
                full = true
                break
            end
        end
        seq, cum, n, b = seq + 1, cum + len, n + 1, b + len
        if len > max then
            max = len
        end
        call('XADD', s, fmt('%d-%d', seq, cum), args[10 + 2 * at], d)
        at, taken = at + 1, taken + 1
    end

    local over = limits.overflow == 'beyond' and n > 1 and (n > limits.n or b > limits.b)
    local again = full and (limits.overflow == 'block' or limits.overflow == 'beyond')
    if again then
        record = fmt('%d', first + at) .. kept
        join(keys, 'r', q.r, channel)
    else
        if full then
            kept = kept .. fmt(' %d-%d', first + at, first + count - 1)
        end
        record = fmt('%d', first + count) .. kept
    end
    call('HSET', keys[1], 'seq', seq, 'cum', fmt('%d', cum), 'max', max, field, record)
    if args[9] == '1' then
        call('HSET', keys[1], 'x', 1)
    end
    -- Nothing new is no news: who waits for some would say that there may be room, and so on for ever.
    local own = seq > q.seq and news(keys, q.w, channel, 'news') or 0
    return {taken, dropped, expired, own, again and 1 or 0, over and 1 or 0}
end

-- took CHANNEL: said directly behind an XREADGROUP. If nothing is left the node waits: it is told of
-- news. Answers: may some that came back be taken, ms until the next of those is due (-1: none), how
-- many are new, messages and bytes that wait, the largest.
local function took(keys, args)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local due, wait = 0, -1
    if q.rn > 0 then
        local next_due = redis.call('ZRANGE', keys[3], 0, 0, 'WITHSCORES')
        wait = math.max(0, next_due[2] - now_ms())
        due = wait == 0 and 1 or 0
    end
    if q.fresh == 0 and due == 0 then
        join(keys, 'w', q.w, args[1])
    end
    room(keys, q.r)
    return {due, wait, q.fresh, q.n, q.b, q.max}
end

-- take NODE N BYTES: those that came back and are due, at most N, of BYTES and one more, in the order
-- of their numbers. Answers of each: id, deliveries before, m, d.
local function take(keys, args)
    local q = stand(keys)
    if not q then
        return gone()
    end
    -- What has become due counts like what came back at once.
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys[3], '(0', now_ms(), 'LIMIT', 0, STEP)) do
        redis.call('ZADD', keys[3], 0, member)
    end
    local k = math.min(tonumber(args[2]), piece(q, tonumber(args[3])))
    local out = {}
    for _, one in ipairs((pull_back(keys, 0, 0, k, tonumber(args[3])))) do
        local entry = redis.call('XCLAIM', keys[2], GROUP, args[1], 0, one[1], 'RETRYCOUNT',
                                 one[2] + 1, 'FORCE')[1]
        if entry then
            local i = #out
            out[i + 1], out[i + 2], out[i + 3], out[i + 4] = entry[1], one[2], entry[2][1], entry[2][2]
        end
    end
    if #out > 0 then -- (without one that `took` says later, as after an XREADGROUP)
        room(keys, q.r)
    end
    return out
end

-- Settled ones of [args] are deleted. Everything below the least that is held is no more, if none
-- has come back: one XTRIM, of whole nodes mostly, where XDEL would look for each (1.1 us a message).
local function clear(keys, args)
    local s, facts = keys[2], redis.call('HMGET', keys[1], 'rn', 'seq')
    local held = redis.call('XPENDING', s, GROUP) -- how many, the least, ..
    local last, last_cum = string.match(group_of(keys)[8], '^(%d+)-(%d+)$')
    -- Ids that are not ours may be above what was put: those do not count.
    local least, above = math.min(last, facts[2]) + 1, {}
    if facts[1] ~= '0' then
        least = 0
    elseif held[1] > 0 then
        least = math.min(least, string.match(held[2], '^%d+'))
    elseif tonumber(last) <= tonumber(facts[2]) then
        redis.call('HSET', keys[1], 'gone', last_cum) -- known exactly now
    end
    if tonumber(args[2]) >= least then
        for i = 3, #args do
            if tonumber(string.match(args[i], '^%d+')) >= least then
                above[#above + 1] = args[i]
            end
        end
        redis.call('XDEL', s, unpack(above))
    end
    if #above < #args - 2 then
        redis.call('XTRIM', s, 'MINID', string.format('%d-0', least))
    end
end

-- settle BYTES LAST ID*: these are no more; BYTES: of all together, as they were taken; LAST: the
-- highest number. Answers how many were there. One that was claimed meanwhile, for this node was
-- thought dead, is gone, too.
local function settle(keys, args)
    local m, s, b, a = unpack(keys)
    local count = #args - 2
    -- All of it in the ordinary case; which of them it was not is asked only if it was less.
    local pending = redis.call('XACK', s, GROUP, unpack(args, 3))
    if pending == count then
        redis.call('HINCRBY', m, 'gone', args[1])
        clear(keys, args)
        return count
    end
    local q = stand(keys)
    if not q then
        return gone()
    end
    local last, found, bytes = tonumber(string.match(q.last, '^%d+')), 0, 0
    for i = 3, #args do
        local entry = redis.call('XRANGE', s, args[i], args[i])[1]
        if entry and tonumber(string.match(args[i], '^%d+')) <= last then
            local member = member_of(args[i])
            if redis.call('ZREM', b, member) == 1 then
                redis.call('HDEL', a, member)
                came_back(keys, -1, -size_of(entry))
            end
            redis.call('XDEL', s, args[i])
            found = found + 1
            bytes = bytes + size_of(entry)
        end
    end
    count_gone(keys, bytes)
    return found
end

-- give CHANNEL (ID BYTES ATTEMPTS DELAY)*: these came back, delivered ATTEMPTS times, due in DELAY
-- ms; but for those not held any more. BYTES may be `-`: not known. Answers how many came back, and may the node itself fetch.
local function give(keys, args)
    if redis.call('EXISTS', keys[1]) == 0 then
        return gone()
    end
    local now, count, bytes = now_ms(), 0, 0
    for i = 2, #args, 4 do
        if redis.call('XACK', keys[2], GROUP, args[i]) == 1 then
            local size, delay = tonumber(args[i + 1]), tonumber(args[i + 3])
            local entry = not size and redis.call('XRANGE', keys[2], args[i], args[i])[1]
            size = entry and size_of(entry) or size
            if size then -- else somebody has deleted it
                put_back(keys, args[i], size, args[i + 2], delay > 0 and now + delay or 0)
                count = count + 1
                bytes = bytes + size
            end
        end
    end
    if count == 0 then
        return {0, 0}
    end
    came_back(keys, count, bytes)
    -- Whoever waits finds out when they are due.
    return {count, news(keys, redis.call('HGET', keys[1], 'w'), args[1], 'back')}
end

-- reclaim NODE MINUS: a piece of what that node holds waits again. The last delivery counts as one,
-- unless MINUS is 1 (a node that left in peace). Answers how many, and is that all: then the node is
-- no consumer any more.
local function reclaim(keys, args)
    local m, s = keys[1], keys[2]
    if redis.call('EXISTS', m) == 0 then
        return gone()
    end
    local count, looked, bytes, freed = 0, 0, 0, 0
    local held = redis.call('XPENDING', s, GROUP, '-', '+', STEP, args[1])
    for _, p in ipairs(held) do
        local entry = redis.call('XRANGE', s, p[1], p[1])[1]
        redis.call('XACK', s, GROUP, p[1])
        looked = looked + 1
        if entry then
            put_back(keys, p[1], size_of(entry), math.max(0, p[4] - args[2]), 0)
            count = count + 1
            bytes = bytes + size_of(entry)
        end
        if bytes >= STEP_BYTES then
            break
        end
    end
    if count > 0 then
        came_back(keys, count, bytes)
        news(keys, redis.call('HGET', m, 'w'), '', 'back')
    end
    if looked < #held or #held == STEP then
        return {count, 0}
    end
    redis.call('XGROUP', 'DELCONSUMER', s, GROUP, args[1])
    redis.call('HDEL', m, 'l:' .. args[1])
    return {count, 1}
end

-- purge UPTO: a piece of those that wait, up to that number (0: all that do now). Answers how many, is
-- that all, and the number.
local function purge(keys, args)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local upto = tonumber(args[1])
    upto = upto > 0 and upto or q.seq
    local back, bytes = pull_back(keys, '-inf', '+inf', STEP, math.huge)
    for _, one in ipairs(back) do
        redis.call('XDEL', keys[2], one[1])
    end
    count_gone(keys, bytes)
    local count, k = #back, 0
    if count < STEP then
        k = piece(q, STEP_BYTES)
        -- Up to and with that number, whatever bytes its id has.
        local entries = redis.call('XRANGE', keys[2], '(' .. q.last,
                                   string.format('(%d-0', upto + 1), 'COUNT', k)
        count = count + cut(keys, entries, math.huge)
        k = #entries < k and 1 or 0
    end
    if count > 0 then
        room(keys, q.r)
    end
    return {count, k, upto}
end

-- What a call of `tidy` may do, and has done.
--   node: whose they are from now on that wait no more, to make dead letters of; nil: they are dropped
--   k, room: messages, and bytes, that may yet be
--   n, bytes: that are; full: there was one for which there was no room
--   out: the answer
-- False: one message too many.
local function clean(keys, job, why, entry, attempts)
    local id, size, out = entry[1], size_of(entry), job.out
    if job.n > 0 and (job.k == 0 or size > job.room) then
        job.full = true
        return false
    end
    job.n, job.bytes, job.k, job.room = job.n + 1, job.bytes + size, job.k - 1, job.room - size
    if job.node then
        redis.call('XCLAIM', keys[2], GROUP, job.node, 0, id, 'RETRYCOUNT', attempts, 'FORCE', 'JUSTID')
        local i = #out
        out[i + 1], out[i + 2], out[i + 3] = why, id, attempts
        out[i + 4], out[i + 5] = entry[2][1], entry[2][2]
    else
        redis.call('XDEL', keys[2], id)
        count_gone(keys, size)
    end
    return true
end

-- Of those that came back.
local function clean_back(keys, job, members, judge)
    local count, bytes, looked = 0, 0, 0
    for _, member in ipairs(members) do
        if looked >= STEP_BYTES then
            break
        end
        local id = id_of(member)
        local entry = id and redis.call('XRANGE', keys[2], id, id)[1]
        local why = entry and judge(entry)
        looked = looked + (entry and size_of(entry) or 0)
        if why then
            local facts = redis.call('HGET', keys[4], member) or ''
            local attempts, size = string.match(facts, '^(%d+) (%d+)$')
            if not clean(keys, job, why, entry, tonumber(attempts or 0)) then
                break
            end
            redis.call('ZREM', keys[3], member)
            redis.call('HDEL', keys[4], member)
            count, bytes = count + 1, bytes + (size or 0)
        end
    end
    if count > 0 then
        came_back(keys, -count, -bytes)
    end
end

-- Of the first k new ones. New ones go from the head only: what lies in front of one that is to go is
-- put to what came back, as never delivered. Not `all`: nothing behind the first that stays.
local function clean_new(keys, job, k, last, judge, all)
    local stay, count, bytes = {}, 0, 0
    for _, entry in ipairs(redis.call('XRANGE', keys[2], '(' .. last, '+', 'COUNT', k)) do
        local why = judge(entry)
        if why and not clean(keys, job, why, entry, 0) then
            break
        elseif why then
            redis.call('XGROUP', 'SETID', keys[2], GROUP, entry[1])
            last = entry[1]
            for _, other in ipairs(stay) do
                put_back(keys, other[1], size_of(other), 0, 0)
                count, bytes = count + 1, bytes + size_of(other)
            end
            stay = {}
        elseif all then
            stay[#stay + 1] = entry
        else
            break
        end
    end
    if count > 0 then
        came_back(keys, count, bytes)
    end
    return last, count
end

-- tidy NODE TTL MAX_N MAX_B N BYTES: of the first that wait, a piece: those whose time is over are
-- dropped. If N > 0 they are NODE's, to make dead letters of, and then, if MAX_N > 0, the oldest while
-- more wait than that, or more bytes; at most N, of about BYTES.
-- Answers: how many were dropped; ms until the next of those looked at is over (-1: none is known);
-- is there more to do now; did new ones come back; then of each that is NODE's: why (0: the oldest,
-- 1: expired), id, deliveries before, m, d.
local function tidy(keys, args)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local ttl, max_n, max_b = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
    local most, own = tonumber(args[5]), redis.call('HGET', keys[1], 'x')
    local job = {
        node = most > 0 and args[1], k = most > 0 and math.min(STEP, most) or STEP,
        room = most > 0 and tonumber(args[6]) or STEP_BYTES, n = 0, bytes = 0, out = {0, -1, 0, 0},
    }
    local now, k, last, moved, next_end = now_ms(), piece(q, STEP_BYTES), q.last, 0, nil

    if q.n > 0 and (ttl > 0 or own) then
        local function judge(entry)
            local at = end_of(entry, ttl)
            if at and at > now then
                next_end = math.min(next_end or at, at)
            end
            return at and at <= now and 1
        end
        clean_back(keys, job, redis.call('ZRANGE', keys[3], 0, k - 1), judge)
        -- Where only the queue's own time counts they are over in order.
        last, moved = clean_new(keys, job, k, last, judge, own and q.rn <= STEP)
    elseif own and q.held == 0 then
        redis.call('HDEL', keys[1], 'x')
    end
    if most > 0 and max_n > 0 then
        local function judge()
            local n = q.n - job.n
            return n > 1 and (n > max_n or q.b - job.bytes > max_b) and 0
        end
        if judge() then
            local due = redis.call('ZRANGEBYSCORE', keys[3], '-inf', now, 'LIMIT', 0, STEP)
            clean_back(keys, job, due, judge)
        end
        if judge() then
            clean_new(keys, job, k, last, judge, false)
        end
        job.full = job.full or judge()
    end
    if job.n > 0 then
        room(keys, q.r)
    end
    job.out[1] = most > 0 and 0 or job.n
    job.out[2] = next_end and math.ceil(next_end - now) or -1
    job.out[3] = job.n > 0 and (job.full or job.n >= k) and 1 or 0
    job.out[4] = moved > 0 and 1 or 0
    return job.out
end

-- mend: what somebody wrote to the stream by hand, or with an id of Redis's choice, lies beyond the
-- last that was put, and nothing can be put any more. A piece of it is deleted. Answers how many, and
-- is that all.
local function mend(keys)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local s, own = keys[2], string.format('%d-%d', q.seq, q.cum)
    local found, count = redis.call('XRANGE', s, '(' .. own, '+', 'COUNT', FEW), 0
    for _, entry in ipairs(found) do
        count = count + 1 - redis.call('XACK', s, GROUP, entry[1]) -- who holds it counts it
        redis.call('XDEL', s, entry[1])
    end
    if #found == FEW then
        return {count, 0}
    end
    if q.fresh < 0 then
        redis.call('XGROUP', 'SETID', s, GROUP, own)
    end
    redis.call('XSETID', s, own)
    return {count, 1}
end

-- peek FROM N BYTES: messages from that number on, in order of numbers, whatever state they are in.
-- Answers: is there more; then of each: id, deliveries before, due in ms, m, d.
local function peek(keys, args)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local want, now, out = tonumber(args[2]), now_ms(), {0}
    local k = math.min(want, piece(q, tonumber(args[3])))
    local found = redis.call('XRANGE', keys[2], args[1] .. '-0', '+', 'COUNT', k)
    for _, entry in ipairs(found) do
        local member = member_of(entry[1])
        local due, attempts = redis.call('ZSCORE', keys[3], member), 0
        if due then
            attempts = string.match(redis.call('HGET', keys[4], member) or '', '^%d+') or 0
        else
            local p = redis.call('XPENDING', keys[2], GROUP, entry[1], entry[1], 1)[1]
            attempts = p and p[4] - 1 or 0 -- the delivery under way is not known to have been one
        end
        local i = #out
        out[i + 1], out[i + 2] = entry[1], tonumber(attempts)
        out[i + 3] = due and tonumber(due) > now and tonumber(due) - now or 0
        out[i + 4], out[i + 5] = entry[2][1], entry[2][2]
    end
    out[1] = #found == k and k < want and 1 or 0
    return out
end

-- facts: seq; messages and bytes in all; those that wait; how many came back; the largest; bytes of
-- memory; the first id, and m of it; may some have a time of their own.
local function facts(keys)
    local q = stand(keys)
    if not q then
        return gone()
    end
    local first = redis.call('XRANGE', keys[2], '-', '+', 'COUNT', 1)[1]
    local memory = redis.pcall('MEMORY', 'USAGE', keys[2])
    return {
        q.seq, q.n + q.held, q.cum - redis.call('HGET', keys[1], 'gone'), q.n, q.b, q.rn, q.max,
        type(memory) == 'number' and memory or 0, first and first[1] or '',
        first and first[2][1] or '', redis.call('HGET', keys[1], 'x') and 1 or 0,
    }
end

-- open NODE LABEL: the queue is used by that node, whose labels begin there. It is made if need be,
-- and made again if some of it is gone. Numbers go on from what the clock says: a node that knew a
-- former life of the queue, which was deleted or lost, may have messages of that, and settle them.
-- (Below what Redis itself would give: see mend.) Answers whether some of it was gone.
local function open(keys, args)
    local m, s = keys[1], keys[2]
    local format, lost = redis.call('HGET', m, 'format'), 0
    if format and format ~= '1' then
        return redis.error_reply('ERR the queue was made by a newer brokerd')
    end
    if not stand(keys) then
        lost = redis.call('EXISTS', unpack(keys)) > 0 and 1 or 0
        local before = string.format('%d', math.max(0, now_ms() - EPOCH_MS))
        redis.call('UNLINK', unpack(keys))
        redis.call('XGROUP', 'CREATE', s, GROUP, before .. '-0', 'MKSTREAM')
        redis.call('HSET', m, 'format', 1, 'seq', before, 'cum', 0, 'max', 0, 'rn', 0, 'rb', 0,
                   'gone', 0)
    end
    redis.call('XGROUP', 'CREATECONSUMER', s, GROUP, args[1])
    redis.call('HSET', m, 'l:' .. args[1], args[2])
    return lost
end

-- remove: the queue and all it holds. Its memory is freed in the background.
local function remove(keys)
    return redis.call('UNLINK', unpack(keys))
end

-- KEYS of all queues: PREFIX:{queues}, the hash of their definitions; PREFIX:{queues}:nodes, the zset
-- of when nodes were last seen. Nodes hear of changes by the channel PREFIX:queues.

-- define NODE CHANNEL NAME DEFINITION [new]; `new`: only if it is not there. Answers whether it was.
local function define(keys, args)
    local before = redis.call('HGET', keys[1], args[3])
    if before ~= args[4] and not (before and args[5]) then
        redis.call('HSET', keys[1], args[3], args[4])
        redis.call('PUBLISH', args[2], 'defined ' .. args[1] .. ' ' .. args[3])
    end
    return before and 1 or 0
end

-- undefine NODE CHANNEL NAME. Answers whether it was there.
local function undefine(keys, args)
    local was = redis.call('HDEL', keys[1], args[3])
    if was == 1 then
        redis.call('PUBLISH', args[2], 'removed ' .. args[1] .. ' ' .. args[3])
    end
    return was
end

-- beat NODE KEEP: the node lives. Answers of each node: name, and ms since it was seen; who was not
-- for KEEP ms is forgotten. Last, 1 if this node was not known, or 0.
local function beat(keys, args)
    local now, out = now_ms(), {}
    local new = redis.call('ZADD', keys[2], now, args[1])
    redis.call('ZREMRANGEBYSCORE', keys[2], '-inf', now - args[2])
    local all = redis.call('ZRANGE', keys[2], 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do
        out[i], out[i + 1] = all[i], now - all[i + 1]
    end
    out[#all + 1] = new
    return out
end

-- leave NODE
local function leave(keys, args)
    return redis.call('ZREM', keys[2], args[1])
end

-- (While a library is loaded nothing of Lua's own is there: no loop, then.)
local function register(name, f, flags)
    redis.register_function{function_name = name, callback = f, flags = flags}
end

register('brokerd_1_put', put, {})
register('brokerd_1_open', open, {})
register('brokerd_1_define', define, {})
-- What makes room, and what tells that a node lives, goes on when memory is used up.
local calm = {'allow-oom'}
register('brokerd_1_take', take, calm)
register('brokerd_1_took', took, calm)
register('brokerd_1_settle', settle, calm)
register('brokerd_1_give', give, calm)
register('brokerd_1_reclaim', reclaim, calm)
register('brokerd_1_purge', purge, calm)
register('brokerd_1_tidy', tidy, calm)
register('brokerd_1_mend', mend, calm)
register('brokerd_1_remove', remove, calm)
register('brokerd_1_undefine', undefine, calm)
register('brokerd_1_beat', beat, calm)
register('brokerd_1_leave', leave, calm)
local reads = {'no-writes', 'allow-oom'}
register('brokerd_1_peek', peek, reads)
register('brokerd_1_facts', facts, reads)
register('brokerd_1_revision', function() return REVISION end, reads)
