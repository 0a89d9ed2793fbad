# bash completion for broker, made by `broker completion bash`.
_broker() {
    local word=${COMP_WORDS[COMP_CWORD]} path='' words='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
        *" -"*) break ;;
        esac
        case "${path:+$path }${COMP_WORDS[i]}" in
        "pub") path="pub" ;;
        "sub") path="sub" ;;
        "request") path="request" ;;
        "stream") path="stream" ;;
        "channel") path="channel" ;;
        "serve") path="serve" ;;
        "queue") path="queue" ;;
        "queue ls") path="queue ls" ;;
        "queue add") path="queue add" ;;
        "queue info") path="queue info" ;;
        "queue peek") path="queue peek" ;;
        "queue purge") path="queue purge" ;;
        "queue move") path="queue move" ;;
        "queue rm") path="queue rm" ;;
        "connections") path="connections" ;;
        "consumers") path="consumers" ;;
        "kill") path="kill" ;;
        "config") path="config" ;;
        "reload") path="reload" ;;
        "drain") path="drain" ;;
        "webhook") path="webhook" ;;
        "webhook ls") path="webhook ls" ;;
        "webhook add") path="webhook add" ;;
        "webhook info") path="webhook info" ;;
        "webhook test") path="webhook test" ;;
        "webhook enable") path="webhook enable" ;;
        "webhook disable") path="webhook disable" ;;
        "webhook replay") path="webhook replay" ;;
        "webhook rm") path="webhook rm" ;;
        "bench") path="bench" ;;
        "bench pub") path="bench pub" ;;
        "bench sub") path="bench sub" ;;
        "bench pubsub") path="bench pubsub" ;;
        "bench request") path="bench request" ;;
        "top") path="top" ;;
        "why") path="why" ;;
        "ping") path="ping" ;;
        "info") path="info" ;;
        "events") path="events" ;;
        "route") path="route" ;;
        "trace") path="trace" ;;
        "store") path="store" ;;
        "store check") path="store check" ;;
        "store stats") path="store stats" ;;
        "store export") path="store export" ;;
        "store import") path="store import" ;;
        "store backup") path="store backup" ;;
        "completion") path="completion" ;;
        esac
    done
    case "$path ${COMP_WORDS[COMP_CWORD - 1]}" in
        "pub --file") mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        "sub --ack") mapfile -t COMPREPLY < <(compgen -W "auto manual" -- "$word"); return ;;
        "sub --overflow") mapfile -t COMPREPLY < <(compgen -W "block drop-oldest drop-newest reject disconnect" -- "$word"); return ;;
        "sub --set") compopt -o nospace; mapfile -t COMPREPLY < <(compgen -W "from= max-bytes= message-ttl= block-timeout= block-fallback= ack-timeout= max-deliveries= max-inflight= dead-letter= expires= dedup-window= dedup-max= durable= retain=" -- "$word"); return ;;
        "request --file") mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        "stream --file") mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        "channel --file") mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        "queue add --set") compopt -o nospace; mapfile -t COMPREPLY < <(compgen -W "max-messages= max-bytes= message-ttl= overflow= block-timeout= block-fallback= ack-timeout= max-deliveries= max-inflight= dead-letter= expires= dedup-window= dedup-max= retain= durable=" -- "$word"); return ;;
        "webhook add --secret-file") mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
        "bench pub --overflow") mapfile -t COMPREPLY < <(compgen -W "block drop-oldest drop-newest reject disconnect" -- "$word"); return ;;
        "bench sub --overflow") mapfile -t COMPREPLY < <(compgen -W "block drop-oldest drop-newest reject disconnect" -- "$word"); return ;;
        "bench pubsub --overflow") mapfile -t COMPREPLY < <(compgen -W "block drop-oldest drop-newest reject disconnect" -- "$word"); return ;;
        "bench request --overflow") mapfile -t COMPREPLY < <(compgen -W "block drop-oldest drop-newest reject disconnect" -- "$word"); return ;;
    esac
    case "$path" in
        "") words=" pub sub request stream channel serve queue connections consumers kill config reload drain webhook bench top why ping info events route trace store completion --help --version" ;;
        "pub") words=" --lines -l --file -f --count -n --rate --header -H --type --ttl --dedup --require --queue --confirm --max-size --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "sub") words=" --count -n --credit -c --raw -r --no-newline --hex -x --queue --ack --overflow --max-messages --set --max-size --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "request") words=" --header -H --type --file -f --wait -w --hex -x --no-newline --max-size --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "stream") words=" --header -H --type --file -f --wait -w --hex -x --no-newline --max-size --credit -c --count -n --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "channel") words=" --header -H --type --file -f --wait -w --hex -x --no-newline --max-size --credit -c --count -n --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "serve") words=" --jobs -J --waiting --header -H --type --max-size --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue") words=" ls add info peek purge move rm" ;;
        "queue ls") words=" --all -a --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue add") words=" --bind -b --set --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue info") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue peek") words=" --count -n --bytes --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue purge") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue move") words=" --count -n --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "queue rm") words=" --if-empty --if-unused --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "connections") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "consumers") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "kill") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "config") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "reload") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "drain") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook") words=" ls add info test enable disable replay rm" ;;
        "webhook ls") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook add") words=" --topic -t --set --header -H --allow --insecure --secret-file --no-secret --replace --rotate --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook info") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook test") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook enable") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook disable") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook replay") words=" --count -n --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "webhook rm") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "bench") words=" pub sub pubsub request" ;;
        "bench pub") words=" --count -n --seconds --size --topics --topic --publishers -P --subscribers -S --window -w --rate --overflow --slow --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "bench sub") words=" --count -n --seconds --size --topics --topic --publishers -P --subscribers -S --window -w --rate --overflow --slow --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "bench pubsub") words=" --count -n --seconds --size --topics --topic --publishers -P --subscribers -S --window -w --rate --overflow --slow --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "bench request") words=" --count -n --seconds --size --topics --topic --publishers -P --subscribers -S --window -w --rate --overflow --slow --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "top") words=" --count -n --interval -i --limit --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "why") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "ping") words=" --count -n --interval -i --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "info") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "events") words=" --count -n --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "route") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "trace") words=" --count -n --publish -p --header -H --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "store") words=" check stats export import backup" ;;
        "store check") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "store stats") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "store export") words=" --queue --definitions --retained --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "store import") words=" --into --in-memory --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "store backup") words=" --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
        "completion") words=" bash zsh --server -s --name --timeout --patience --json -j --quiet -q --help -h" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _broker broker
