#!/bin/sh
echo 'nothing to say' >&2
