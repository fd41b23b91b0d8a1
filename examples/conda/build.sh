#!/bin/bash
# conda calls this in the unpacked archive.
set -eu
cp -R bin lib share "$PREFIX/"
