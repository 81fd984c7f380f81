# shellcheck shell=sh
# Runs a database server and sees to it that the server never outlives the test that started it.
#   supervise.sh DIR OWNER COMMAND...
# OWNER is `pipe`: the owner holds the other end of standard input and writes the names of signals to pass on; when it
# closes its end, or dies in whatever way, the read ends. Or OWNER is a process id: the server lives as long as that.
# Then the server is killed and DIR, which holds its data, is removed. The exit code is the server's.
# The data stays when the server ends by itself or by a signal that the owner asked for: it may be started again.

dir=$1
owner=$2
shift 2

exec 3<&0
"$@" </dev/null 3<&- >>"$dir/server.log" 2>&1 &
server=$!
echo "$server" >"$dir/server.pid"

{
    if [ "$owner" = pipe ]; then
        while read -r signal <&3; do kill "-$signal" "$server" 2>/dev/null; done
    else
        while kill -0 "$owner" 2>/dev/null; do sleep 0.5; done
    fi
    : >"$dir/abandoned"
    kill -KILL "$server" 2>/dev/null
} &
watcher=$!

wait "$server"
code=$?
kill "$watcher" 2>/dev/null
if [ -e "$dir/abandoned" ]; then
    rm -rf "$dir"
    if [ "$owner" != pipe ]; then
        # A shared server's folder lies in one that the owner's servers have together: the last one removes that too.
        rm -f "$dir.lock"
        rmdir "${dir%/*}" 2>/dev/null
    fi
fi
exit "$code"
