package genstore

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// WatchOptions are the options of Watch.
type WatchOptions struct {
	// Build is the build command and its arguments. Without it: the command of the project's file.
	Build []string
	// Run are commands that run on the current generation.
	Run []string
	// Paths are files and directories to watch, instead of those in the project's file.
	Paths []string
	// Args are further arguments of the verb.
	Args []string
}

// An Event of a watch. The book lists the fields of each; Document has all of them.
type Event struct {
	Event      string          `json:"event"`
	Time       string          `json:"time"`
	Generation uint64          `json:"generation"`
	Build      uint64          `json:"build"`
	OK         bool            `json:"ok"`
	Document   json.RawMessage `json:"-"`
}

// A Watch builds and publishes when sources change. Close ends it.
type Watch struct {
	command *exec.Cmd
	stderr  *listener
	events  *bufio.Reader
	last    string
	wait    func() error
}

// Watch starts a watch. It ends with the context, or with Close.
func (c *Client) Watch(ctx context.Context, options WatchOptions) (*Watch, error) {
	args := []string{"watch"}
	for _, one := range options.Run {
		args = append(args, "--run="+one)
	}
	for _, one := range options.Paths {
		args = append(args, "--path="+one)
	}
	args = append(args, options.Args...)
	if len(options.Build) > 0 {
		args = append(append(args, "--"), options.Build...)
	}
	w := &Watch{command: c.command(ctx, args), stderr: c.listen()}
	w.command.Stderr = w.stderr
	stdout, err := w.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.command.Start(); err != nil {
		return nil, notStarted(ctx, w.command, err)
	}
	w.events = bufio.NewReader(stdout)
	w.wait = sync.OnceValue(w.command.Wait)
	return w, nil
}

// Next waits for an event. At the end of the watch it returns io.EOF, or the error that ended it.
func (w *Watch) Next() (*Event, error) {
	line, err := w.events.ReadBytes('\n')
	if err == nil {
		event := &Event{Document: line}
		w.last = ""
		if err = json.Unmarshal(line, event); err == nil {
			w.last = event.Event
		}
		return event, err
	}
	ended := w.wait()
	w.stderr.flush()
	switch {
	case w.stderr.failure != nil:
		return nil, w.stderr.failure
	case w.last == "end" && errors.Is(err, io.EOF):
		return nil, io.EOF
	default:
		return nil, unexplained(exitOf(w.command), ended)
	}
}

// Close ends the watch, and waits until the processes of its builds and programs have ended.
func (w *Watch) Close() error {
	err := w.command.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	// The last events are not read any more.
	io.Copy(io.Discard, w.events)
	w.wait()
	return err
}

// A listener passes stderr on, line by line, and keeps the error document in it.
type listener struct {
	to      io.Writer
	rest    []byte
	failure *Error
}

func (c *Client) listen() *listener {
	if c.Output == nil {
		return &listener{to: os.Stderr}
	}
	return &listener{to: c.Output}
}

func (l *listener) Write(text []byte) (int, error) {
	l.rest = append(l.rest, text...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			return len(text), nil
		}
		l.line(l.rest[:end+1])
		l.rest = l.rest[end+1:]
	}
}

// flush ends a last line without a newline.
func (l *listener) flush() {
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = nil
	}
}

func (l *listener) line(line []byte) {
	failure := &Error{Document: bytes.Clone(line)}
	if json.Unmarshal(line, failure) == nil && failure.Schema == "genstore.error/1" {
		l.failure = failure
		return
	}
	// The program shall not wait or end because nobody wants its output.
	l.to.Write(line)
}
