// The bytes of an answer's head, and of chunks.
#pragma once

#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/exchange.h"

namespace pippin::http {

/// How an answer travels: what the connection knows and the handler does not.
struct Framing {
  bool http10 = false;
  bool close = false;      // the connection ends after this answer
  bool chunked = false;    // a stream to an HTTP/1.1 client
  bool has_length = true;  // a whole answer
  size_t content_length = 0;
  std::time_t date = 0;  // 0: no Date header
  std::string_view request_id;
  std::string_view allow_origin;  // echoed to a page that may read the answer; "" for none
  std::vector<std::pair<std::string, std::string>> limits;  // of the caller's key
};

/// Appends the status line and all headers. Control characters in header values become spaces, so
/// that nothing that a handler echoes can begin a header of its own.
void append_head(std::string& out, const api::Response& response, const Framing& framing);

/// Appends `bytes` as one chunk. Requires: not empty (an empty chunk would end the body).
void append_chunk(std::string& out, std::string_view bytes);

/// The last chunk.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// Returns whether a response is a stream of server-sent events.
bool is_event_stream(const api::Response& response);

}  // namespace pippin::http
