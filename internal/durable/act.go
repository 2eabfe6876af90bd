package durable

import "time"

// Act is a line of the audit log: what somebody has done to others' work. Lines
// are only ever added, and leave by retention.
type Act struct {
	Seq    int64 // given by the store
	At     time.Time
	By     string // who, as far as it is known
	What   string // one of the words below
	Object string // to what: a function's slug, or a kind and a name, such as app/shop
	Detail JSON   // an object; nil if there is nothing more to say
}

// What people do. The words are stored; they never change.
const (
	ActPause           = "pause"
	ActResume          = "resume"
	ActLimit           = "limit"
	ActCancel          = "cancel"           // a run
	ActRerun           = "rerun"            // of a run
	ActRetry           = "retry"            // of a dead letter's run
	ActDiscard         = "discard"          // a dead letter
	ActNote            = "note"             // kept with a dead letter
	ActRetryMany       = "retry-many"       // dead letters, by a job
	ActDiscardMany     = "discard-many"     // dead letters, by a job
	ActStopRetry       = "stop-retry"       // such a job, of either kind
	ActCancelMany      = "cancel-many"      // runs
	ActEndCancellation = "end-cancellation" // of many runs
	ActAddSchedule     = "add-schedule"
	ActRemoveSchedule  = "remove-schedule"
	ActVoidKey         = "void-key"   // an idempotency key
	ActSend            = "send-event" // by a person, and not by a program
	ActInvoke          = "invoke"     // likewise
	ActSignal          = "signal"     // likewise
	ActRemoveApp       = "remove-app"
	ActSyncApp         = "sync-app"
	ActBackup          = "backup" // the whole store was given out
	ActSetup           = "setup"  // the first admin was made
	ActLogin           = "login"
	ActPassword        = "change-password" // one's own
	ActOpenID          = "link-openid"     // a provider's person with one here
	ActAddPerson       = "add-person"
	ActChangePerson    = "change-person"
	ActRemovePerson    = "remove-person"
	ActLinkPerson      = "link-person" // a link to set a password was made
	ActUseLink         = "use-link"    // and a password was set by it
	ActEndLogins       = "end-logins"
	ActAddToken        = "add-token"
	ActRemoveToken     = "remove-token"
)

// Objects of acts beside functions, which go by their slugs.
func EventObject(name string) string      { return "event/" + name }
func SignalObject(name string) string     { return "signal/" + name }
func RunObject(id string) string          { return "run/" + id }
func JobObject(id string) string          { return "job/" + id }
func CancellationObject(id string) string { return "cancellation/" + id }
func ScheduleObject(id string) string     { return "schedule/" + id }
func KeyObject(scope string) string       { return "key/" + scope }
func AppObject(name string) string        { return "app/" + name }

// StoreObject is the whole store.
const StoreObject = "store"
