// Writers of /v1/messages: the events of a stream, or the whole message. Owner: the ResponseStream.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/anthropic/signer.h"
#include "api/shared/response_stream.h"
#include "api/shared/warning.h"
#include "service/chat/generation.h"

namespace pippin::api::anthropic {

/// The event that only tells that the server lives.
inline constexpr const char* kPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

struct WriterOptions {
  std::string request_id;
  std::shared_ptr<const Signer> signer;
  bool streams = false;
  bool batch = false;  // part of a batch, as the usage tells
  bool show_thinking = true;
  bool cache_marked = false;
  bool manages_context = false;
  std::vector<Warning> warnings;
};

/// The generation outlives the writer.
std::unique_ptr<ResponseWriter> message_writer(const service::Generation& generation,
                                               WriterOptions options);

}  // namespace pippin::api::anthropic
