-- The requests of wrk: the peers' request, each with a new id. It decodes nothing and checks only the status. Its
-- report is written to the file named by OUT.

local head = "POST /api/v2/media/storage/files/"
local tail = "/download-url HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
  .. "Authorization: Bearer " .. string.rep("t", 86) .. "\r\nContent-Type: application/json\r\nUser-Agent: wrk\r\n"
  .. "Content-Length: 66\r\n\r\n"
local number = 0

function request()
  number = number + 1
  local file_id = string.format("00000000-0000-4000-8000-%012d", number)
  return head .. file_id .. tail .. '{"fileId":"' .. file_id .. '","expiresIn":3600}'
end

local function peak_mib()
  for line in io.lines("/proc/self/status") do
    local kibibytes = line:match("^VmHWM:%s+(%d+)")
    if kibibytes then
      return tonumber(kibibytes) / 1024
    end
  end
  return 0
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local file = io.open(os.getenv("OUT"), "w")
  file:write(string.format(
    '{"items": %d, "seconds": %f, "peak_mib": %f, "errors": %d, "first_error": null, '
      .. '"latency_p50": %f, "latency_p99": %f}',
    summary.requests, summary.duration / 1e6, peak_mib(), failed, latency:percentile(50) / 1e6,
    latency:percentile(99) / 1e6
  ))
  file:close()
end
