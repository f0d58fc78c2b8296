#include "api/routes/harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <thread>
#include <unordered_map>

#include "api/routes.h"
#include "parse/registry.h"
#include "service/models/load.h"

namespace pippin::api::testing {
namespace {

using engine::Token;
using namespace std::chrono_literals;

constexpr auto kLongTime = 20s;
constexpr Token kStart = 256, kEnd = 257, kEndOfText = 258;

constexpr char kTemplate[] =
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}"
    "{% if message.role == 'bad' %}{{ raise_exception('no such role') }}{% endif %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}[{{ call.function.name }} {{ "
    "call.function.arguments.x }}]{% endfor %}"
    "<|im_end|>\n{% endfor %}"
    "{% if refuse %}{{ raise_exception('refused by the template') }}{% endif %}"
    "{% if verbosity %}<|im_start|>{{ verbosity }}<|im_end|>\n{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if think %}<think>\n{% endif %}{% "
    "endif "
    "%}";

// GPT-2's alphabet: a printable character for every byte.
std::string byte_character(int byte) {
  const auto utf8 = [](int code) {
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    return std::string{static_cast<char>(0xC0 | (code >> 6)),
                       static_cast<char>(0x80 | (code & 0x3F))};
  };
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  };
  if (printable(byte)) return utf8(byte);
  int before = 0;
  for (int b = 0; b < byte; ++b) before += printable(b) ? 0 : 1;
  return utf8(256 + before);
}

text::GgufVocabulary byte_vocabulary(bool infill) {
  text::GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.push_back(byte_character(byte));
  vocabulary.token_types.assign(256, 1);
  for (const char* special : {"<|im_start|>", "<|im_end|>", "<|endoftext|>"}) {
    vocabulary.tokens.emplace_back(special);
    vocabulary.token_types.push_back(3);
  }
  // Byte-pair encoding needs a merge; this one, of two control characters, no case uses.
  vocabulary.tokens.push_back(byte_character(1) + byte_character(2));
  vocabulary.token_types.push_back(1);
  vocabulary.merges = {byte_character(1) + " " + byte_character(2)};
  for (const char* special : {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"}) {
    if (!infill) break;
    vocabulary.tokens.emplace_back(special);
    vocabulary.token_types.push_back(3);
  }
  vocabulary.bos = kStart;
  vocabulary.eos = kEnd;
  return vocabulary;
}

std::vector<Token> bytes_of(std::string_view text) {
  std::vector<Token> tokens;
  for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
  return tokens;
}

// What the model is told: the last user message, or else the whole prompt.
std::vector<Token> told(const std::vector<Token>& prompt) {
  std::vector<Token> head = bytes_of("user\n");
  head.insert(head.begin(), kStart);
  const auto found = std::find_end(prompt.begin(), prompt.end(), head.begin(), head.end());
  if (found == prompt.end()) return prompt;
  const auto begin = found + static_cast<std::ptrdiff_t>(head.size());
  return {begin, std::find(begin, prompt.end(), kEnd)};
}

}  // namespace

struct Harness::Gate {
  std::mutex mutex;
  std::condition_variable opened;
  bool open = false;
};

namespace {

class Parrot final : public engine::Runner {
 public:
  explicit Parrot(std::shared_ptr<Harness::Gate> gate) : gate_(std::move(gate)) {}

  void admit(engine::SequenceId id, const engine::Submission& submission) override {
    answers_[id] = {told(submission.tokens), submission.sampling.logprobs,
                    submission.sampling.prompt_logprobs, submission.tokens};
  }

  engine::StepOutput run(const engine::StepPlan& plan) override {
    engine::StepOutput out;
    out.step = plan.step;
    for (const engine::PlanRow& row : plan.rows) out.rows.push_back(row_output(row));
    for (const engine::SequenceId id : plan.released) answers_.erase(id);
    return out;
  }

 private:
  struct Answer {
    std::vector<Token> text;
    int logprobs = -1, prompt_logprobs = -1;
    std::vector<Token> prompt;
  };

  static std::vector<engine::TokenLogprob> top(Token token, int count) {
    std::vector<engine::TokenLogprob> best;
    for (int i = 0; i < count; ++i)
      best.push_back({(token + i) % 256, -0.5f - static_cast<float>(i)});
    return best;
  }

  engine::RowOutput row_output(const engine::PlanRow& row) {
    const Answer& answer = answers_.at(row.sequence);
    engine::RowOutput out;
    for (size_t i = 0; answer.prompt_logprobs >= 0 && row.generated == 0 && i < row.tokens.size();
         ++i) {
      const size_t next = static_cast<size_t>(row.start) + i + 1;
      if (next >= answer.prompt.size()) break;
      const Token token = answer.prompt[next];
      out.prompt_logprobs.push_back({{token, -0.5f}, top(token, answer.prompt_logprobs)});
    }
    if (row.sample) sample(answer, static_cast<size_t>(row.generated), out);
    return out;
  }

  static bool mark_at(const std::vector<Token>& text, size_t at, std::string_view mark) {
    const std::vector<Token> bytes = bytes_of(mark);
    return at + bytes.size() <= text.size() &&
           std::equal(bytes.begin(), bytes.end(), text.begin() + static_cast<std::ptrdiff_t>(at));
  }

  void sample(const Answer& answer, size_t at, engine::RowOutput& out) {
    const std::vector<Token>& text = answer.text;
    for (size_t i = 0; i < text.size(); ++i) {
      if (mark_at(text, i, "<forever>")) at %= i;
    }
    if (mark_at(text, at, "<fail>")) {
      out.error = fail(Code::kInternal, "the device failed");
      return;
    }
    if (mark_at(text, at, "<oom>")) throw std::bad_alloc();
    if (mark_at(text, at, "<wait>")) {
      std::unique_lock lock(gate_->mutex);
      gate_->opened.wait_for(lock, kLongTime, [this] { return gate_->open; });
    }
    out.sampled = true;
    out.token = at < text.size() ? text[at] : kEnd;
    if (answer.logprobs < 0) return;
    out.logprob = -0.5f;
    out.top = top(out.token, answer.logprobs);
  }

  const std::shared_ptr<Harness::Gate> gate_;
  std::unordered_map<engine::SequenceId, Answer> answers_;
};

std::string new_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "pippin-api-XXXXXX").string();
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  return path;
}

std::unique_ptr<service::Model> make_model(const HarnessOptions& options,
                                           const std::shared_ptr<Harness::Gate>& gate) {
  auto model = std::make_unique<service::Model>();
  model->id = "parrot";
  model->aliases = {"polly", "org/bird"};
  model->architecture = "parrot";
  model->fingerprint = "fp_parrot";
  model->created_unix_s = 1700000000;
  model->supports_fim = options.infill;
  model->context_tokens_max = options.context_tokens_max;
  model->default_sampling = service::sampling_defaults(false);
  auto tokenizer = text::Tokenizer::from_gguf(byte_vocabulary(options.infill));
  if (!tokenizer.ok()) ADD_FAILURE() << tokenizer.error().message;
  model->tokenizer = *tokenizer;
  if (options.chat_template) {
    auto compiled = text::ChatTemplate::compile(kTemplate);
    if (!compiled.ok()) ADD_FAILURE() << compiled.error().message;
    model->chat_template = *compiled;
  }
  model->tool_dialect = parse::find_tool_dialect("hermes");
  model->reasoning_dialect = parse::find_reasoning_dialect("think");
  model->eos_text = "<|im_end|>";
  model->stop_tokens = {kEnd, kEndOfText};
  engine::EngineOptions engine;
  engine.context_tokens_max = options.context_tokens_max;
  engine.kv = KvPlan::full(options.blocks);
  KvGroupSpec sliding{KvKind::kSliding};
  sliding.window = options.window;
  if (options.window_blocks > 0) engine.kv.add(sliding, options.window_blocks);
  engine.rows_max = options.rows_max;
  engine.queue_max = options.queue_max;
  engine.event_queue_max = options.event_queue_max;
  auto started = engine::Engine::start(engine, [gate]() -> Result<std::unique_ptr<engine::Runner>> {
    return std::unique_ptr<engine::Runner>(std::make_unique<Parrot>(gate));
  });
  if (!started.ok()) ADD_FAILURE() << started.error().message;
  model->engine = std::move(*started);
  return model;
}

}  // namespace

void FakeExchange::respond(Response response) {
  const std::lock_guard lock(mutex_);
  sent_ = std::move(response);
  ++answers_;
  changed_.notify_all();
}

void FakeExchange::start_stream(Response head) {
  const std::lock_guard lock(mutex_);
  EXPECT_FALSE(started_) << "a second start_stream";
  started_ = true;
  sent_ = std::move(head);
}

bool FakeExchange::write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  EXPECT_TRUE(started_) << "write before start_stream";
  EXPECT_EQ(answers_, 0) << "write after the end";
  if (gone_) return false;
  sent_.body += bytes;
  if (stalled_) queued_ += bytes.size();
  changed_.notify_all();
  return true;
}

size_t FakeExchange::queued_bytes() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

void FakeExchange::finish() {
  const std::lock_guard lock(mutex_);
  ++answers_;
  changed_.notify_all();
}

void FakeExchange::on_disconnect(std::function<void()> callback) {
  std::unique_lock lock(mutex_);
  if (!gone_) {
    on_disconnect_ = std::move(callback);
    return;
  }
  lock.unlock();
  callback();
}

void FakeExchange::on_drained(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  on_drained_ = std::move(callback);
}

void FakeExchange::on_heartbeat(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  on_heartbeat_ = std::move(callback);
}

void FakeExchange::fall_silent() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    callback = on_heartbeat_;
  }
  if (callback) callback();
}

bool FakeExchange::wait() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime, [this] { return answers_ > 0; });
}

bool FakeExchange::wait_for_bytes(size_t bytes) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kLongTime,
                           [&] { return sent_.body.size() >= bytes || answers_ > 0; });
}

void FakeExchange::disconnect() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    callback = std::exchange(on_disconnect_, nullptr);
  }
  if (callback) callback();
}

void FakeExchange::stall() {
  const std::lock_guard lock(mutex_);
  stalled_ = true;
  queued_ = sent_.body.size();
}

void FakeExchange::drain() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    stalled_ = false;
    queued_ = 0;
    callback = on_drained_;
  }
  if (callback) callback();
}

Response FakeExchange::sent() const {
  const std::lock_guard lock(mutex_);
  return sent_;
}

int FakeExchange::answers() const {
  const std::lock_guard lock(mutex_);
  return answers_;
}

Harness::Harness(HarnessOptions options)
    : gate_(std::make_shared<Gate>()), workers_(std::make_unique<WorkerPool>(2, 1024)) {
  models_.add(make_model(options, gate_));
  readiness_.set_ready();
  if (!options.responses_path.empty()) {
    service::ResponseStoreOptions store;
    store.path = options.responses_path;
    store.busy_ms = 20;
    responses_ = std::make_unique<service::ResponseStore>(store);
  }
  context_.reset(new Context{
      models_, readiness_, *workers_, {}, options.stream_pause_bytes, responses_.get()});
  data_folder_ = new_folder();
  context_->data_folder = data_folder_;
  add_routes(router_, *context_);
}

Harness::~Harness() {
  release();
  for (service::ModelLease& model : models_.lease_all()) model->engine->drain(1s);
  workers_.reset();  // the last answers end here
  std::error_code ignored;
  std::filesystem::remove_all(data_folder_, ignored);
}

std::shared_ptr<FakeExchange> Harness::send(
    std::string method, std::string path, std::string body,
    std::vector<std::pair<std::string, std::string>> headers) {
  const size_t mark = std::min(path.find('?'), path.size());
  std::string query = path.substr(std::min(mark + 1, path.size()));
  path.resize(mark);
  const Router::Match match = router_.find(method, path);
  Request request{std::move(method), std::move(path), std::move(query), std::move(headers),
                  std::move(body),   "test",          match.captures};
  auto exchange = std::make_shared<FakeExchange>(std::move(request));
  if (match.handler == nullptr) {
    exchange->respond({match.allow.empty() ? 404 : 405, "text/plain", "no such route", {}});
  } else {
    const bool posted = workers_->post([handler = *match.handler, exchange] { handler(exchange); });
    EXPECT_TRUE(posted);
  }
  return exchange;
}

Response Harness::call(std::string method, std::string path, std::string body,
                       std::vector<std::pair<std::string, std::string>> headers) {
  const auto exchange =
      send(std::move(method), std::move(path), std::move(body), std::move(headers));
  EXPECT_TRUE(exchange->wait()) << "no answer";
  return exchange->sent();
}

void Harness::release() {
  const std::lock_guard lock(gate_->mutex);
  gate_->open = true;
  gate_->opened.notify_all();
}

engine::EngineStatus Harness::engine_status() {
  return models_.lease_all().front()->engine->status();
}

bool Harness::wait_until_idle() {
  const auto until = std::chrono::steady_clock::now() + kLongTime;
  while (std::chrono::steady_clock::now() < until) {
    const engine::EngineStatus status = engine_status();
    if (status.running == 0 && status.waiting == 0 && status.blocks().leased == 0) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

}  // namespace pippin::api::testing
