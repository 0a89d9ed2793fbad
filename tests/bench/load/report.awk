# The runs of tests/bench/load/nats.sh as a table: medians, the least and the most, and how brokerd
# compares with nats-server in the same run. Exit 1 if it is not clearly ahead with 128 bytes.

function field(name,    m) {
    m = match($0, "\"" name "\":")
    m = substr($0, m + RLENGTH)
    sub(/[,}].*/, "", m)
    gsub(/"/, "", m)
    return m
}

{
    peer = field("peer")
    size = field("size")
    key = peer SUBSEP size
    if (!(peer in seen_peer)) { seen_peer[peer] = 1; peers[++peers_n] = peer }
    if (!(size in seen_size)) { seen_size[size] = 1; sizes[++sizes_n] = size }
    n = ++runs[key]
    rate[key, n] = field("per_second") + 0
    broker[key, n] = field("broker_ns") + 0
    own[key, n] = field("own_ns") + 0
    peak[key, n] = field("peak_kib") + 0
    others[key, n] = field("others_cores") + 0
    lost[key] += field("lost")
}

# The values of one peer and size, in order, in `sorted`; returns how many.
function sort(values, key,    n, i, j, v) {
    n = runs[key]
    for (i = 1; i <= n; i++) {
        v = values[key, i]
        for (j = i - 1; j >= 1 && sorted[j] > v; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = v
    }
    return n
}

function median(values, key,    n) {
    n = sort(values, key)
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

function spread(values, key, form,    n) {
    n = sort(values, key)
    return sprintf(form "-" form, sorted[1], sorted[n])
}

function millions(values, key,    i, n) {
    n = runs[key]
    for (i = 1; i <= n; i++)
        scaled[key, i] = values[key, i] / 1e6
}

END {
    if (!peers_n) { print "no runs" > "/dev/stderr"; exit 1 }
    head = "%6s  %-8s %9s %15s %10s %15s %9s %9s %7s %6s\n"
    line = "%6d  %-8s %9.2f %15s %10.0f %15s %9.0f %9.1f %7.2f %6d\n"
    printf head, "bytes", "peer", "M msgs/s", "least-most", "CPU ns/msg", "least-most", "load's ns",
        "peak MiB", "others", "lost"
    for (s = 1; s <= sizes_n; s++)
        for (p = 1; p <= peers_n; p++) {
            key = peers[p] SUBSEP sizes[s]
            if (!(key in runs))
                continue
            millions(rate, key)
            printf line, sizes[s], peers[p], median(scaled, key), spread(scaled, key, "%.2f"),
                median(broker, key), spread(broker, key, "%.0f"), median(own, key),
                median(peak, key) / 1024, median(others, key), lost[key]
        }
    print "CPU: user and system of the process measured, per message delivered; load's: the" \
        " generator's own; others: cores busy with anything else"
    missed = 0
    for (s = 1; s <= sizes_n; s++) {
        ours = "brokerd" SUBSEP sizes[s]
        theirs = "nats" SUBSEP sizes[s]
        if (!(ours in runs) || !(theirs in runs))
            continue
        faster = median(rate, ours) / median(rate, theirs)
        cpu = median(broker, ours) / median(broker, theirs)
        printf "brokerd with %d bytes: %.1f times the messages of nats-server, %.2f of its CPU per message\n",
            sizes[s], faster, cpu
        if (sizes[s] == 128 && (faster < 2 || cpu > 0.5))
            missed = 1
    }
    for (key in lost)
        if (index(key, "brokerd" SUBSEP) == 1 && lost[key] != 0)
            missed = 1
    print missed ? "MISSED: wanted are 2 times the messages and 0.5 of the CPU with 128 bytes, and none lost" \
                 : "met: at least 2 times the messages and at most 0.5 of the CPU with 128 bytes, none lost"
    exit missed
}
