#!/bin/sh
printf 'Hello there\n\n'
