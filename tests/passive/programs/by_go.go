// Makes the calls of a plan with Go's net/http, and prints what came of each. Arguments: KIND URL PLAN.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func call(client *http.Client, method, url string, body int, headers map[string]any) ([]any, error) {
	var content io.Reader
	if body > 0 {
		content = bytes.NewReader(bytes.Repeat([]byte("x"), body))
	}
	request, err := http.NewRequest(method, url, content)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, fmt.Sprint(value))
	}
	began := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	size, first, buffer := 0, 0.0, make([]byte, 64)
	for {
		n, err := answer.Body.Read(buffer)
		if n > 0 && first == 0 {
			first = time.Since(began).Seconds()
		}
		size += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return []any{answer.StatusCode, size, first, time.Since(began).Seconds()}, nil
}

func main() {
	var plan map[string][][]any
	if err := json.Unmarshal([]byte(os.Args[3]), &plan); err != nil {
		panic(err)
	}
	for situation, calls := range plan {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ExpectContinueTimeout = 2 * time.Second
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		results := [][]any{}
		for number, one := range calls {
			time.Sleep(time.Duration(one[2].(float64)*1000) * time.Millisecond)
			url := strings.Replace(os.Args[2], "SITUATION", fmt.Sprintf("%s/%d", situation, number), 1)
			result, err := call(client, one[0].(string), url, int(one[1].(float64)), one[3].(map[string]any))
			if err != nil {
				result = []any{"error", 0, 0, 0, err.Error()}
			}
			results = append(results, result)
		}
		transport.CloseIdleConnections()
		line, _ := json.Marshal([]any{situation, results})
		fmt.Println(string(line))
	}
}
