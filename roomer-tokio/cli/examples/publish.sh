#!/bin/sh
# Publishes a text in a room of `roomer serve`, by curl: KEY=… publish.sh http://127.0.0.1:9090 ROOM EVENT TEXT
# Names with other characters than letters, digits, - and _ have to be percent-encoded.
set -eu
# Through standard input, since other users see the arguments of a program.
printf 'Authorization: Bearer %s\n' "$KEY" |
    curl --fail-with-body --silent --show-error --max-time 10 --header @- \
        --data-binary "$4" "$1/v1/rooms/$2/messages/$3"
