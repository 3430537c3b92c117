-- One request, again and again. BENCH_METHOD, BENCH_BODY and BENCH_KEY_FILE (a bearer key) say which; prints the result as JSON.
wrk.method = os.getenv("BENCH_METHOD")
if wrk.method == "POST" then
	wrk.body = os.getenv("BENCH_BODY")
	wrk.headers["Content-Type"] = "application/json"
	wrk.headers["Accept"] = "application/json, text/event-stream"
	local file = io.open(os.getenv("BENCH_KEY_FILE"))
	wrk.headers["Authorization"] = "Bearer " .. file:read("*l")
	file:close()
end

function done(summary, latency)
	local e = summary.errors
	print(string.format('\nRESULT {"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p95":%d,"p99":%d,"max":%d,"not_2xx":%d,"broken":%d}',
		summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(95), latency:percentile(99),
		latency.max, e.status, e.connect + e.read + e.write + e.timeout))
end
