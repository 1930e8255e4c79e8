package genstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
)

// A step of ../conformance.json.
type step struct {
	Write, Read  map[string]string
	Call         string
	Directory    string
	Stage        string
	Options      json.RawMessage
	Entries      []map[string]any
	Events       []string
	Output       string
	Gives, Fails map[string]any
	As           string
}

func TestConformance(t *testing.T) {
	text, err := os.ReadFile("../conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Cases []struct {
			Name  string
			Steps []step
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for _, one := range list.Cases {
		t.Run(one.Name, func(t *testing.T) {
			r := &run{T: t, dir: t.TempDir(), results: map[string]any{}}
			r.client = Client{Dir: r.dir, Output: &r.output}
			for _, step := range one.Steps {
				r.step(step)
			}
		})
	}
}

type run struct {
	*testing.T
	dir     string
	client  Client
	output  bytes.Buffer
	results map[string]any
}

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

var named = regexp.MustCompile(`\{(\w+)\.(\w+)\}`)

// filled replaces {NAME.FIELD} in a text.
func (r *run) filled(text string) string {
	return named.ReplaceAllStringFunc(text, func(found string) string {
		parts := named.FindStringSubmatch(found)
		return fmt.Sprint(r.plain(r.results[parts[1]]).(map[string]any)[parts[2]])
	})
}

// plain returns a result as plain values of JSON.
func (r *run) plain(value any) (plain any) {
	text, err := json.Marshal(value)
	r.must(err)
	r.must(json.Unmarshal(text, &plain))
	return plain
}

func (r *run) step(s step) {
	for path, content := range s.Write {
		if path = r.filled(path); !filepath.IsAbs(path) {
			path = filepath.Join(r.dir, path)
		}
		r.must(os.MkdirAll(filepath.Dir(path), 0o755))
		r.must(os.WriteFile(path, []byte(content), 0o644))
	}
	for path, content := range s.Read {
		text, err := os.ReadFile(filepath.Join(r.dir, path))
		r.must(err)
		if string(text) != content {
			r.Fatalf("%s: %s", path, text)
		}
	}
	if s.Call == "" {
		return
	}
	result, err := r.call(s)
	if err == nil && s.Fails == nil {
		if s.Gives != nil {
			r.has(r.plain(result), s.Gives, s.Call)
		}
		r.results[s.As] = result
		return
	}
	var failure *Error
	if !errors.As(err, &failure) || s.Fails == nil {
		r.Fatalf("%s: %v, expected: %v", s.Call, err, s.Fails)
	}
	if failure.Message == "" || failure.Hint == "" {
		r.Fatalf("a message and a hint: %+v", failure)
	}
	document := map[string]any{}
	if failure.Document != nil {
		r.must(json.Unmarshal(failure.Document, &document))
	}
	document["code"], document["exit"] = failure.Code, float64(failure.Exit)
	r.has(document, s.Fails, s.Call)
}

func (r *run) call(s step) (any, error) {
	ctx := context.Background()
	var publish PublishOptions
	options := func(into any) {
		if s.Options != nil {
			r.must(json.Unmarshal(s.Options, into))
		}
	}
	switch s.Call {
	case "publish":
		options(&publish)
		return r.client.Publish(ctx, s.Directory, publish)
	case "publishPlan":
		options(&publish)
		return r.client.PublishPlan(ctx, publish, func(add func(Entry) error) error {
			for _, line := range s.Entries {
				r.must(add(r.entry(line)))
			}
			return nil
		})
	case "brokenPlan":
		broken := errors.New("no more")
		_, err := r.client.PublishPlan(ctx, publish, func(add func(Entry) error) error {
			r.must(add(Entry{Path: "a", Bytes: []byte("1")}))
			return broken
		})
		if err != broken {
			r.Fatal(err)
		}
		return nil, nil
	case "begin":
		var begin BeginOptions
		options(&begin)
		return r.client.Begin(ctx, begin)
	case "commit":
		options(&publish)
		return r.results[s.Stage].(*Stage).Commit(ctx, publish)
	case "abort":
		return map[string]string{"schema": "genstore.abort/1"}, r.results[s.Stage].(*Stage).Abort(ctx)
	case "current":
		return r.client.Current(ctx)
	case "show":
		var document any
		return &document, r.client.JSON(ctx, &document, "genstore.show/1", "show")
	case "rollback":
		return r.client.Rollback(ctx, RollbackOptions{})
	case "wait":
		var wait WaitOptions
		options(&wait)
		return r.client.Wait(ctx, wait)
	case "interruptedWait":
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return r.client.Wait(ctx, WaitOptions{})
	case "watch":
		return r.watch(ctx, s)
	}
	r.Fatalf("no such call: %s", s.Call)
	return nil, nil
}

func (r *run) entry(line map[string]any) Entry {
	var entry Entry
	text, err := json.Marshal(line)
	r.must(err)
	r.must(json.Unmarshal(text, &entry))
	if encoded, ok := line["bytes"].(string); ok {
		entry.Bytes, err = base64.StdEncoding.DecodeString(encoded)
		r.must(err)
	}
	return entry
}

// watch returns the last of the expected events.
func (r *run) watch(ctx context.Context, s step) (any, error) {
	var options WatchOptions
	r.must(json.Unmarshal(s.Options, &options))
	watch, err := r.client.Watch(ctx, options)
	r.must(err)
	for missing := s.Events; ; {
		event, err := watch.Next()
		if err != nil {
			return nil, err
		}
		if len(missing) > 0 && event.Event == missing[0] {
			missing = missing[1:]
		}
		if len(missing) == 0 {
			r.must(watch.Close())
			if !bytes.Contains(r.output.Bytes(), []byte(s.Output)) {
				r.Fatal(r.output.String())
			}
			return event.Document, nil
		}
	}
}

// has checks that a value has these parts. Lists have the same length.
func (r *run) has(value, expected any, place string) {
	r.Helper()
	switch expected := expected.(type) {
	case map[string]any:
		inner, _ := value.(map[string]any)
		for name, part := range expected {
			r.has(inner[name], part, place+"."+name)
		}
	case []any:
		inner, _ := value.([]any)
		if len(inner) != len(expected) {
			r.Fatalf("%s: %v", place, value)
		}
		for i, part := range expected {
			r.has(inner[i], part, fmt.Sprintf("%s.%d", place, i))
		}
	case string:
		r.same(value, r.filled(expected), place)
	default:
		r.same(value, expected, place)
	}
}

func (r *run) same(value, expected any, place string) {
	r.Helper()
	if !reflect.DeepEqual(value, expected) {
		r.Fatalf("%s: %v, expected: %v", place, value, expected)
	}
}
