// The sampling of Ollama's API where a request says nothing.
#include <gtest/gtest.h>

#include <boost/json/object.hpp>

#include "api/ollama/read_options.h"
#include "api/shared/field_reader.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::api::ollama {
namespace {

engine::SamplingParams sampling_of(const service::ModelInfo& model) {
  const boost::json::object none;
  FieldReader reader(none);
  service::Request request;
  read_options(reader, model, request);
  return request.sampling;
}

TEST(OllamaOptions, ThePenaltyIsOllamasUnlessTheFileAdvisesOne) {
  service::ModelInfo model;
  model.default_sampling.temperature = 1;
  EXPECT_FLOAT_EQ(sampling_of(model).repetition_penalty, 1.1F);
  EXPECT_EQ(sampling_of(model).penalty_last_n, 64);
  EXPECT_FLOAT_EQ(sampling_of(model).temperature, 1.0F) << "the model's own, whatever it is";
  model.penalty_in_file = true;
  EXPECT_FLOAT_EQ(sampling_of(model).repetition_penalty, 1.0F);
}

}  // namespace
}  // namespace pippin::api::ollama
