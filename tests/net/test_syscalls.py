"""An idle poll(..., 0) makes at most one system call: test_syscalls.py PATH_OF_GMPUNCH_BENCH

Needs strace and the permission to trace; without them it is skipped (exit code 77)."""
import os
import shutil
import subprocess
import sys
import tempfile

POLLS = 100


def calls_between_markers(bench, who):
    """The system calls between the two markers that the benchmark writes, one line each."""
    with tempfile.TemporaryDirectory() as directory:
        trace = os.path.join(directory, "trace")
        # without leak detection, which a tracer disturbs
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        subprocess.run(["strace", "-f", "-o", trace, bench, "--idle", who, str(POLLS)], check=True,
                       stdout=subprocess.DEVNULL, env=environment, timeout=120)
        with open(trace, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    begin = next(i for i, line in enumerate(lines) if "idle begins" in line)
    end = next(i for i, line in enumerate(lines) if "idle ends" in line)
    return lines[begin + 1:end]


def main():
    if not shutil.which("strace"):
        print("SKIPPED: strace is not installed")
        return 77
    if subprocess.run(["strace", "-o", os.devnull, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("SKIPPED: tracing is not permitted here")
        return 77
    failures = 0
    for who in ("client", "host", "master"):
        calls = calls_between_markers(sys.argv[1], who)
        good = 0 < len(calls) <= POLLS
        failures += not good
        print(f"{'ok' if good else 'FAILED'}: {who}: {len(calls)} system calls in {POLLS} idle polls")
        if not good:
            print("\n".join(calls[:10]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
