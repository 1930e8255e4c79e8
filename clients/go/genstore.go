// Package genstore publishes build outputs as generations: readers see the whole old one or the whole new
// one.
//
// It runs the program genstore with --json. The program is the one in the variable GENSTORE_BINARY, or the
// one that PATH finds. A call fails with an [*Error], whose code is the program's own, except for the codes
// that begin with "client-". If its context ends, a call is interrupted, and fails with the code
// "interrupted", unless it was done already.
package genstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// A Client runs the program on a store. Its zero value works in the current directory.
type Client struct {
	// Store is the store. Without it, genstore searches from the directory upwards.
	Store string
	// Dir is the working directory of the program. Relative paths begin there.
	Dir string
	// Binary is the program. Without it: GENSTORE_BINARY, or the one that PATH finds.
	Binary string
	// LockTimeout is the longest time to wait for locks, for example "10s".
	LockTimeout string
	// Env is the environment, or nil for the one of this process.
	Env []string
	// Output receives the output of builds, audits and hooks. If it is nil, os.Stderr receives it.
	Output io.Writer
}

// PublishOptions are the options of a publication.
type PublishOptions struct {
	// Note is a note for people.
	Note string
	// Facts are for programs.
	Facts map[string]string
	// Expect is the generation that must be current ("none": nothing was published before).
	Expect string
	// NoActivate keeps the new generation without making it current.
	NoActivate bool
	// Always creates a generation even if nothing changed.
	Always bool
	// AllowEmpty publishes an empty tree even if it replaces one that is not empty.
	AllowEmpty bool
	// Durability is "full" (it survives a power loss) or "none".
	Durability string
	// Args are further arguments of the verb.
	Args []string
}

func (o PublishOptions) args(verb ...string) []string {
	args := values(verb, "--message", o.Note, "--expect", o.Expect, "--durability", o.Durability)
	args = switches(args, "--no-activate", o.NoActivate, "--always", o.Always, "--allow-empty", o.AllowEmpty)
	for key, value := range o.Facts {
		args = append(args, "--fact="+key+"="+value)
	}
	return append(args, o.Args...)
}

// A Warning is a failure after the commit.
type Warning struct {
	Message    string `json:"message"`
	NotDurable bool   `json:"not_durable"`
}

// A Finding of an audit.
type Finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Path     string `json:"path"`
	Message  string `json:"message"`
}

// A Place is a generation and its directory.
type Place struct {
	Schema     string `json:"schema"`
	Generation uint64 `json:"generation"`
	Tree       string `json:"tree"`
	Path       string `json:"path"`
	// PathBytes is the path if it is not UTF-8. Path is empty then.
	PathBytes []byte `json:"path_b64"`
}

// A Publication is the result of a publication.
type Publication struct {
	Place
	Previous *uint64 `json:"previous"`
	Changed  bool    `json:"changed"`
	// Current reports whether the generation is the current one.
	Current  bool      `json:"current"`
	Durable  bool      `json:"durable"`
	Files    uint64    `json:"files"`
	Bytes    uint64    `json:"bytes"`
	Written  uint64    `json:"written"`
	Added    uint64    `json:"added"`
	Modified uint64    `json:"modified"`
	Removed  uint64    `json:"removed"`
	Renamed  uint64    `json:"renamed"`
	Findings []Finding `json:"findings"`
	// Warnings are failures after the commit.
	Warnings []Warning `json:"warnings"`
}

// An Activation is the result of a rollback.
type Activation struct {
	Place
	Previous  *uint64   `json:"previous"`
	Changed   bool      `json:"changed"`
	Durable   bool      `json:"durable"`
	MarkedBad *uint64   `json:"marked_bad"`
	Warnings  []Warning `json:"warnings"`
}

// An Error is the document genstore.error/1. Code never changes its meaning; Message and Hint are for
// people.
type Error struct {
	Schema   string    `json:"schema"`
	Code     string    `json:"code"`
	Exit     int       `json:"exit"`
	Message  string    `json:"message"`
	Hint     string    `json:"hint"`
	Findings []Finding `json:"findings"`
	// Document is the whole document.
	Document json.RawMessage `json:"-"`
	cause    error
}

func (e *Error) Error() string { return "genstore: " + e.Message }

// Unwrap returns the cause, if it lies outside the program.
func (e *Error) Unwrap() error { return e.cause }

// Publish publishes a directory as a new generation.
func (c *Client) Publish(ctx context.Context, dir string, options PublishOptions) (*Publication, error) {
	return call[Publication](ctx, c, "genstore.publish/1", nil, append(options.args("publish"), "--", dir)...)
}

// A Stage is a directory to write to, until it is committed or aborted.
type Stage struct {
	Schema string `json:"schema"`
	ID     string `json:"stage"`
	Path   string `json:"path"`
	client *Client
}

// BeginOptions name the owner of a stage. The zero value is this process.
type BeginOptions struct {
	// TTL ends the stage after this time, for example "30m".
	TTL string
	// OwnerPID ends the stage when this process ends.
	OwnerPID int
}

// Begin begins a stage.
func (c *Client) Begin(ctx context.Context, options BeginOptions) (*Stage, error) {
	if options == (BeginOptions{}) {
		options.OwnerPID = os.Getpid()
	}
	args := values([]string{"begin"}, "--ttl", options.TTL)
	if options.OwnerPID != 0 {
		args = append(args, "--owner-pid", strconv.Itoa(options.OwnerPID))
	}
	stage, err := call[Stage](ctx, c, "genstore.begin/1", nil, args...)
	if err == nil {
		stage.client = c
	}
	return stage, err
}

// Commit publishes what was written to the stage.
func (s *Stage) Commit(ctx context.Context, options PublishOptions) (*Publication, error) {
	args := append(options.args("commit"), "--", s.ID)
	return call[Publication](ctx, s.client, "genstore.publish/1", nil, args...)
}

// Abort removes the stage.
func (s *Stage) Abort(ctx context.Context) error {
	_, err := call[struct{}](ctx, s.client, "genstore.abort/1", nil, "abort", "--", s.ID)
	return err
}

// Current returns the current generation.
func (c *Client) Current(ctx context.Context) (*Place, error) {
	return call[Place](ctx, c, "genstore.current/1", nil, "current")
}

// WaitOptions are the options of Wait.
type WaitOptions struct {
	// After is the generation after which to wait. Without it: the current one.
	After string
	// Timeout is the time after which Wait fails with the code "timeout", for example "10s".
	Timeout string
}

// Wait waits until another generation is current.
func (c *Client) Wait(ctx context.Context, options WaitOptions) (*Place, error) {
	args := values([]string{"wait"}, "--after", options.After, "--timeout", options.Timeout)
	return call[Place](ctx, c, "genstore.wait/1", nil, args...)
}

// RollbackOptions are the options of Rollback.
type RollbackOptions struct {
	// Steps is the number of good generations to go back. Zero is one.
	Steps int
	// KeepGood does not mark the current generation as bad.
	KeepGood bool
}

// Rollback goes back to an older good generation.
func (c *Client) Rollback(ctx context.Context, options RollbackOptions) (*Activation, error) {
	args := switches([]string{"rollback"}, "--keep-good", options.KeepGood)
	if options.Steps != 0 {
		args = append(args, strconv.Itoa(options.Steps))
	}
	return call[Activation](ctx, c, "genstore.rollback/1", nil, args...)
}

// JSON runs any verb, and decodes its document, which must have this schema, into a value.
func (c *Client) JSON(ctx context.Context, into any, schema string, args ...string) error {
	document, err := c.run(ctx, schema, nil, args)
	if err == nil {
		err = json.Unmarshal(document, into)
	}
	return err
}

func call[T any](ctx context.Context, c *Client, schema string, feed func(io.Writer) error, args ...string) (*T, error) {
	document, err := c.run(ctx, schema, feed, args)
	if err != nil {
		return nil, err
	}
	result := new(T)
	return result, json.Unmarshal(document, result)
}

func (c *Client) run(ctx context.Context, schema string, feed func(io.Writer) error, args []string) (json.RawMessage, error) {
	command := c.command(ctx, args)
	stderr := c.listen()
	var stdout bytes.Buffer
	command.Stdout, command.Stderr = &stdout, stderr
	var input io.WriteCloser
	var err error
	if feed != nil {
		if input, err = command.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err = command.Start(); err != nil {
		return nil, notStarted(ctx, command, err)
	}
	var fed error
	if feed != nil {
		fed = feed(input)
		input.Close()
	}
	err = command.Wait()
	stderr.flush()
	if fed != nil && !errors.Is(fed, syscall.EPIPE) {
		return nil, fed
	}
	var head struct{ Schema string }
	status := exitOf(command)
	isDone := status == 0 || status == 3
	if isDone && json.Unmarshal(stdout.Bytes(), &head) == nil && head.Schema == schema {
		return stdout.Bytes(), nil
	}
	if stderr.failure != nil {
		return nil, stderr.failure
	}
	return nil, unexplained(status, err)
}

func (c *Client) command(ctx context.Context, args []string) *exec.Cmd {
	binary := c.Binary
	if binary == "" {
		binary = os.Getenv("GENSTORE_BINARY")
	}
	if binary == "" {
		binary = "genstore"
	}
	global := values([]string{"--json"}, "--store", c.Store, "--lock-timeout", c.LockTimeout)
	command := exec.CommandContext(ctx, binary, append(global, args...)...)
	command.Dir, command.Env = c.Dir, c.Env
	// The program ends its builds and removes what it has begun.
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	return command
}

func notStarted(ctx context.Context, command *exec.Cmd, cause error) *Error {
	if ctx.Err() != nil {
		return unexplained(128+int(syscall.SIGTERM), cause)
	}
	return &Error{
		Code: "client-no-binary", Exit: 127, cause: cause,
		Message: fmt.Sprintf("cannot run %s: %v", command.Path, cause),
		Hint:    "install genstore, or set GENSTORE_BINARY",
	}
}

// exitOf returns the exit status, in a shell's notation.
func exitOf(command *exec.Cmd) int {
	if command.ProcessState == nil {
		return 127
	}
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}

// unexplained describes an end without an error document.
func unexplained(status int, cause error) *Error {
	e := &Error{Code: "client-bad-output", Exit: status, cause: cause}
	switch {
	case status == 130 || status == 143:
		e.Code, e.Message, e.Hint = "interrupted", "genstore was interrupted", "call it again"
		return e
	case status > 128:
		e.Code, e.Message = "client-killed", fmt.Sprintf("genstore was killed by signal %d", status-128)
	default:
		e.Message = fmt.Sprintf("genstore ended with %d, without a document of the expected schema", status)
	}
	e.Hint = "check that the program and this module have the same version"
	return e
}

// values appends the flags whose value is not empty. One argument each: a value may begin with a hyphen.
func values(args []string, pairs ...string) []string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			args = append(args, pairs[i]+"="+pairs[i+1])
		}
	}
	return args
}

// switches appends the flags that are set: pairs of a name and a bool.
func switches(args []string, pairs ...any) []string {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1].(bool) {
			args = append(args, pairs[i].(string))
		}
	}
	return args
}
