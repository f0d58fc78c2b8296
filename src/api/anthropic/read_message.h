// Reads the body of POST /v1/messages. Thread: any.
#pragma once

#include <cstdint>
#include <vector>

#include "api/anthropic/signer.h"
#include "api/shared/field_reader.h"
#include "api/shared/warning.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::anthropic {

struct MessageRequest {
  service::Request request;
  bool stream = false;
  bool show_thinking = true;     // else its blocks are empty, and the signatures hold the text
  bool cache_marked = false;     // the request says `cache_control` somewhere
  bool manages_context = false;  // it says `context_management`
  std::vector<Warning> warnings;
};

/// Counting tokens needs no limit of the answer.
enum class LimitField : uint8_t { kRequired, kOptional };

/// Reads all fields; the first wrong one is reader.error().
MessageRequest read_message(FieldReader& reader, const service::Model& model, const Signer& signer,
                            LimitField limit = LimitField::kRequired);

}  // namespace pippin::api::anthropic
