// Package cron is the arithmetic of schedules: what a cron text means, when its
// ticks are, which of the ticks that were missed still run, and what a tick's
// event says.
//
// It is pure. It reads no clock, keeps nothing, starts no goroutines and runs
// nothing: ticks are durable, so a timer in memory has no part in them.
//
// The calendar under it (which minutes five fields name) is a library's, asked
// in UTC only, where every day has 24 hours. What zones do to a calendar is in
// this package: the library's own answer runs skipped ticks late, runs repeated
// ones twice, and never ends on the day that Samoa left out.
//
// Binaries that link this package carry a copy of the time zone database, used
// where the system has none.
package cron

import _ "time/tzdata" // zones must be known in a container that has no files
