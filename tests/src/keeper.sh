# Keeps one server alive exactly as long as the test process that started it: that process holds the other end of
# standard input, and the kernel closes it however the process ends, SIGKILL included.
# usage: keeper.sh FOLDER SIGNAL COMMAND...
folder=$1 signal=$2
shift 2
exec 2>/dev/null
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
echo "$server" >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
cat >/dev/null
kill -s "$signal" "$server" 2>/dev/null
wait "$server"
cd / && rm -rf "$folder"
