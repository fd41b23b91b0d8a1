#!/bin/sh
# For Slurm's Epilog=, which runs as root on each node of a job when it ends. An Epilog that fails drains the node: this one never does.
/usr/local/bin/jobbus-run --sweep --uid "$SLURM_JOB_UID" || true
