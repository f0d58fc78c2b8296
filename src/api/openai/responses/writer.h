// The writer of one response: its events, or its object; and what is kept of it. Owner: the
// ResponseStream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/exchange.h"
#include "api/openai/responses/response_object.h"
#include "api/openai/responses/tool_table.h"
#include "api/shared/response_stream.h"

namespace pippin::api::openai::responses {

/// Called with the response object when it begins to run in the background, and when it has ended.
/// An error is told to the client as a warning. Thread: the writer's.
using Keep = std::function<Result<void>(const std::string& body_json, bool ended)>;

struct WriterOptions {
  Frame frame;
  ToolTable tools;
  bool streams = false;
  bool done_marker = false;  // `data: [DONE]` ends the stream
  bool background = false;
  bool show_reasoning = true;
  bool summary = false;    // thinking is shown as its summary
  bool encrypted = false;  // reasoning items carry encrypted_content
  Keep keep;               // null: nothing is kept
};

inline constexpr std::string_view kDoneMarker = "data: [DONE]\n\n";

/// Says whether a client wants the marker at the end of a stream: all do (Open Responses asks for
/// it), but for OpenAI's own, to which the last event is the end.
bool wants_done_marker(const Exchange& exchange);

std::unique_ptr<ResponseWriter> response_writer(WriterOptions options);

}  // namespace pippin::api::openai::responses
