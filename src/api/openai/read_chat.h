// Reads the body of POST /v1/chat/completions. Thread: any.
#pragma once

#include "api/openai/read_common.h"
#include "api/wire/field_reader.h"
#include "service/model.h"
#include "service/request.h"

namespace pippin::api::openai {

struct ChatCall {
  service::Request request;
  StreamOptions stream;
};

/// Reads all fields; the first wrong one is reader.error().
ChatCall read_chat(FieldReader& reader, const service::Model& model);

}  // namespace pippin::api::openai
