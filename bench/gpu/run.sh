#!/usr/bin/env bash
# Checks and measures in an environment that `unpack.sh` has made, in less than eight minutes; prints one table.
#
#   bench/gpu/run.sh FOLDER [--device cpu] [--small]
#
# The libraries of CUDA and cuDNN are those of PyTorch in the Python that PYTHON names (default: python3).
set -euo pipefail

if [ $# = 0 ]; then
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
folder=$(realpath "$1") python=${PYTHON:-python3}
shift
libraries=$("$python" -c 'import glob, sysconfig; print(*glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib"), sep=":")')
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" PYTHONPATH="$folder/program"
cd "$folder"
exec timeout --kill-after=10 475 venv/bin/python -m bench.gpu "$@"
