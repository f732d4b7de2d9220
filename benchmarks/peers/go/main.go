// The whole pipeline in a Go program: goroutines, net/http, encoding/json, log/slog.
//
// For each id: the cached token, the payload, one POST, the JSON decoded, the URL validated, the latency counted, an
// audit line written. The command line and the report are those of the Python peers.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	clientID     = "demo-client"
	clientSecret = "demo-secret"
	expiresIn    = 3600
	renewAhead   = 5 * time.Minute
	userAgent    = "go-http-client/1.1"
	buckets      = 1024
)

type payload struct {
	FileID    string `json:"fileId"`
	ExpiresIn int    `json:"expiresIn"`
}

type reply struct {
	URL         string `json:"url"`
	ExpiresIn   int    `json:"expiresIn"`
	FileName    string `json:"fileName"`
	ContentType string `json:"contentType"`
}

// tokenCache requests a token when it has no fresh one.
type tokenCache struct {
	url     string
	client  *http.Client
	lock    sync.RWMutex
	value   string
	renewAt time.Time
}

func (cache *tokenCache) get(ctx context.Context) (string, error) {
	cache.lock.RLock()
	value, renewAt := cache.value, cache.renewAt
	cache.lock.RUnlock()
	if value != "" && time.Now().Before(renewAt) {
		return value, nil
	}
	cache.lock.Lock()
	defer cache.lock.Unlock()
	if cache.value != "" && time.Now().Before(cache.renewAt) {
		return cache.value, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, cache.url, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	credentials := base64.StdEncoding.EncodeToString([]byte(clientID + ":" + clientSecret))
	request.Header.Set("Authorization", "Basic "+credentials)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := cache.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var granted struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&granted); err != nil {
		return "", err
	}
	cache.value = granted.AccessToken
	cache.renewAt = time.Now().Add(time.Duration(granted.ExpiresIn)*time.Second - renewAhead)
	return cache.value, nil
}

// metrics belong to one worker, so that no worker waits for another; they are added up at the end. times has, for ids
// measured in a window, the seconds from taking an id to finishing it.
type metrics struct {
	latency    [buckets]int
	answers    int
	errors     int
	firstError string
	times      []float64
}

func (own *metrics) count(latency time.Duration, problem error) {
	bucket := int(math.Ceil(math.Log(math.Max(latency.Seconds(), 1e-6)/1e-6) / math.Log(1.05)))
	own.latency[min(max(bucket, 0), buckets-1)]++
	own.answers++
	if problem != nil {
		own.errors++
		if own.firstError == "" {
			own.firstError = problem.Error()
		}
	}
}

func (own *metrics) add(other *metrics) {
	for bucket, number := range other.latency {
		own.latency[bucket] += number
	}
	own.answers += other.answers
	own.errors += other.errors
	if own.firstError == "" {
		own.firstError = other.firstError
	}
	own.times = append(own.times, other.times...)
}

func (own *metrics) percentile(share float64) float64 {
	if len(own.times) > 0 {
		sort.Float64s(own.times)
		return own.times[int(share*float64(len(own.times)))]
	}
	wanted, seen := int(math.Ceil(share*float64(own.answers))), 0
	for bucket, number := range own.latency {
		if seen += number; seen >= wanted {
			return 1e-6 * math.Pow(1.05, float64(bucket))
		}
	}
	return 0
}

// window is the measured part of a run without an end: whole turns, each of as many answers as there are workers. The
// first turn begins with the last answer of the warm-up; the last is the first to end after `seconds`.
type window struct {
	turn    int64
	warmUp  int64
	seconds time.Duration
	answers atomic.Int64
	isOpen  atomic.Bool
	isOver  atomic.Bool
	lock    sync.Mutex
	started time.Time
	cpu     float64
	items   int64
	elapsed time.Duration
	spent   float64
}

// count counts an answer, and reports whether it is measured.
func (w *window) count() bool {
	isMeasured := w.isOpen.Load()
	if answers := w.answers.Add(1) - w.warmUp; answers >= 0 && answers%w.turn == 0 {
		w.endTurn(answers)
	}
	return isMeasured
}

func (w *window) endTurn(answers int64) {
	w.lock.Lock()
	defer w.lock.Unlock()
	switch {
	case answers == 0:
		w.started, w.cpu = time.Now(), cpuSeconds()
		w.isOpen.Store(true)
	case w.isOpen.Load() && time.Since(w.started) >= w.seconds:
		w.items, w.elapsed, w.spent = answers, time.Since(w.started), cpuSeconds()-w.cpu
		w.isOpen.Store(false)
		w.isOver.Store(true)
	}
}

type retriever struct {
	base   string
	client *http.Client
	tokens *tokenCache
	audit  *slog.Logger
	window *window
}

// retrieve runs the whole pipeline for one id.
func (r *retriever) retrieve(ctx context.Context, fileID string, own *metrics) {
	sent := time.Now()
	status, correlationID, err := r.ask(ctx, fileID, &sent)
	latency := time.Since(sent)
	own.count(latency, err)
	if r.audit == nil {
		return
	}
	outcome := "success"
	if err != nil {
		outcome = "validation_failed"
	}
	r.audit.LogAttrs(ctx, slog.LevelInfo, "attempt_audited",
		slog.String("action", "media_storage.download_url"),
		slog.String("file_id", fileID),
		slog.String("outcome", outcome),
		slog.Int("status", status),
		slog.Float64("latency", latency.Seconds()),
		slog.String("user_agent", userAgent),
		slog.Int("attempt", 1),
		slog.Any("code", nil),
		slog.String("correlation_id", correlationID),
	)
}

func (r *retriever) ask(ctx context.Context, fileID string, sent *time.Time) (int, string, error) {
	if !isFileID(fileID) {
		return 0, "", fmt.Errorf("%q is not a file id", fileID)
	}
	token, err := r.tokens.get(ctx)
	if err != nil {
		return 0, "", err
	}
	body, err := json.Marshal(payload{FileID: fileID, ExpiresIn: expiresIn})
	if err != nil {
		return 0, "", err
	}
	target := r.base + "/api/v2/media/storage/files/" + url.PathEscape(fileID) + "/download-url"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	*sent = time.Now()
	response, err := r.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	correlationID := response.Header.Get("Inin-Correlation-Id")
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, correlationID, err
	}
	return response.StatusCode, correlationID, check(fileID, response, content)
}

// check returns an error for a wrong answer.
func check(fileID string, response *http.Response, content []byte) error {
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	contentType, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(contentType), "application/json") {
		return fmt.Errorf("content type %s", contentType)
	}
	var answer reply
	if err := json.Unmarshal(content, &answer); err != nil {
		return err
	}
	if answer.ExpiresIn <= 0 || answer.ExpiresIn > expiresIn {
		return fmt.Errorf("expiresIn %d", answer.ExpiresIn)
	}
	if !strings.HasPrefix(answer.ContentType, "audio/") && !strings.HasPrefix(answer.ContentType, "video/") &&
		!strings.HasPrefix(answer.ContentType, "image/") {
		return fmt.Errorf("media type %q", answer.ContentType)
	}
	parsed, err := url.Parse(answer.URL)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil {
		return errors.New("no https URL")
	}
	if !strings.HasPrefix(parsed.Path, "/recordings/"+fileID+"/") || answer.FileName != fileID+".wav" {
		return errors.New("another file's answer")
	}
	return nil
}

func isFileID(text string) bool {
	if text == "" || len(text) > 128 || text[0] == '.' {
		return false
	}
	for _, character := range []byte(text) {
		switch {
		case 'a' <= character && character <= 'z', 'A' <= character && character <= 'Z',
			'0' <= character && character <= '9', character == '.', character == '_', character == '-':
		default:
			return false
		}
	}
	return true
}

// run retrieves the ids numbered from first to end with workers, and returns the sum of their metrics.
func (r *retriever) run(ctx context.Context, workers int, first, end int64) *metrics {
	var next atomic.Int64
	next.Store(first)
	counted := make([]metrics, workers)
	var group sync.WaitGroup
	for worker := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				number := next.Add(1) - 1
				if number >= end || r.window != nil && r.window.isOver.Load() {
					return
				}
				taken := time.Now()
				r.retrieve(ctx, fmt.Sprintf("00000000-0000-4000-8000-%012d", number), &counted[worker])
				if r.window != nil && r.window.count() {
					counted[worker].times = append(counted[worker].times, time.Since(taken).Seconds())
				}
			}
		}()
	}
	group.Wait()
	total := &metrics{}
	for worker := range counted {
		total.add(&counted[worker])
	}
	return total
}

func cpuSeconds() float64 {
	var self, children syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &self)
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children)
	nanoseconds := self.Utime.Nano() + self.Stime.Nano() + children.Utime.Nano() + children.Stime.Nano()
	return float64(nanoseconds) / 1e9
}

func peakMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kibibytes, _ := strconv.ParseFloat(fields[1], 64)
			return kibibytes / 1024
		}
	}
	return 0
}

func main() {
	base := flag.String("url", "", "URL of the platform")
	tokenURL := flag.String("token-url", "", "URL of the token request")
	items := flag.Int64("items", 0, "number of measured ids")
	workers := flag.Int("in-flight", 64, "goroutines")
	length := flag.Float64("seconds", 0, "instead of items: whole turns for so long")
	warmUp := flag.Int64("warm-up", 0, "number of ids before, not measured")
	out := flag.String("out", "", "file of the report")
	auditPath := flag.String("audit", "", "file of the audit lines")
	collect := flag.Int("gogc", 100, "growth of the heap between two collections, in percent")
	flag.Parse()
	debug.SetGCPercent(*collect)

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = *workers
	transport.MaxIdleConnsPerHost = *workers
	transport.DisableCompression = true
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	own := &retriever{base: *base, client: client, tokens: &tokenCache{url: *tokenURL, client: client}}
	if *auditPath != "" {
		file, err := os.OpenFile(*auditPath, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			panic(err)
		}
		own.audit = slog.New(slog.NewJSONHandler(file, nil))
	}

	ctx := context.Background()
	before, counted := &metrics{}, &metrics{}
	measured := &window{turn: int64(*workers), warmUp: *warmUp, seconds: time.Duration(*length * float64(time.Second))}
	if *length > 0 {
		own.window = measured
		counted = own.run(ctx, *workers, 0, math.MaxInt64)
	} else {
		before = own.run(ctx, *workers, 0, *warmUp)
		measured.started, measured.cpu = time.Now(), cpuSeconds()
		counted = own.run(ctx, *workers, *warmUp, *warmUp+*items)
		measured.elapsed, measured.spent = time.Since(measured.started), cpuSeconds()-measured.cpu
		measured.items = int64(counted.answers)
	}
	firstError := counted.firstError
	if firstError == "" {
		firstError = before.firstError
	}
	report, _ := json.Marshal(map[string]any{
		"items":       measured.items,
		"answers":     counted.answers,
		"seconds":     measured.elapsed.Seconds(),
		"cpu_seconds": measured.spent,
		"peak_mib":    peakMiB(),
		"errors":      counted.errors + before.errors,
		"first_error": firstError,
		"latency_p50": counted.percentile(0.5),
		"latency_p99": counted.percentile(0.99),
	})
	if err := os.WriteFile(*out, report, 0o600); err != nil {
		panic(err)
	}
}
