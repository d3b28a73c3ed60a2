#!/usr/bin/env bash
# A studio's night run: every picture of one folder with every dance of another, restarted until it is through.
#
#     examples/studio.sh PICTURES DANCES RESULTS [more flags of scd animate ...]
#
# It may be killed, or the machine switched off, at any moment: started again, it skips what is finished and goes on with the clip it was at.
# Started twice, or on two machines that share the folders, it does no clip twice. It ends with 0 when all clips are there, and with 3
# when some could not be made; RESULTS/failed.jsonl then says which, and why.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PICTURES DANCES RESULTS [more flags of scd animate ...]" >&2
    exit 2
fi
pictures=$1 dances=$2 results=$3
shift 3
shopt -s nullglob nocaseglob
mkdir -p "$results"
list=$(mktemp) # a line of JSON for each job, so that names may hold commas and blanks
trap 'rm -f "$list"' EXIT
quoted() { # a JSON string
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}
for picture in "$pictures"/*.{png,jpg,jpeg,webp}; do
    for dance in "$dances"/*.{mp4,mov,mkv,webm,npz}; do
        name=$(basename "${picture%.*}")-$(basename "${dance%.*}")
        printf '{"ref": %s, "poses": %s, "out": %s}\n' \
            "$(quoted "$picture")" "$(quoted "$dance")" "$(quoted "$results/$name.mp4")" >>"$list"
    done
done
code=0
"${SCD:-scd}" animate --jobs "$list" --summary "$results/summary.jsonl" "$@" || code=$?
grep '"status": "failed"' "$results/summary.jsonl" >"$results/failed.jsonl" || rm -f "$results/failed.jsonl"
exit "$code"
