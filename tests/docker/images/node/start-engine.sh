#!/bin/sh
# Without --privileged this arrives read-only, and an engine writes to it.
set -eu
mount -o remount,rw /sys
# From the engine that was killed with this container's previous life.
rm -rf /var/run/docker.pid /var/run/docker
# Building the image left an empty file where the engine would look for the `init` of its containers.
[ -s /sbin/docker-init ] || rm -f /sbin/docker-init
exec dockerd "$@"
