// pippin_perplexity MODEL.gguf TEXT [--ops fast|reference|quantised|exact] [--kv-type f16|int8]
// [--threads N]
// [--context C] [--chunks N] Follows llama-perplexity: the text in chunks of C tokens, BOS put over
// each chunk's first token where the model asks for one, the second half of each chunk scored.
// "random:N" in place of TEXT takes N random tokens, for files without a vocabulary.
// Prints one JSON line; the memory is the process's peak, and what of it at the end is not mapped
// files.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "service/models/load.h"
#include "service/models/load_tokenizer.h"
#include "store/checkpoint.h"
#include "tests/models/model_driver.h"
#include "text/tokenizer.h"

namespace pippin::test {
namespace {

struct Args {
  std::string model, text, ops = "fast", kv_type = "f16";
  int threads = 2, context = 512, chunks = 1 << 30;
};

nn::BackendOptions backend_of(const Args& args) {
  const bool quantised = args.ops == "quantised";  // the reference, on quantised weights
  return {.kind = quantised || args.ops == "reference" ? nn::BackendKind::kReference
                                                       : nn::BackendKind::kCpu,
          .threads = args.threads,
          .exact_activations = args.ops == "exact",
          .weights = quantised ? nn::WeightForm::kQuantised : nn::WeightForm::kDense};
}

/// The text's tokens; `bos` becomes the token that each chunk begins with, or stays empty.
Result<std::vector<int32_t>> read_tokens(const store::Checkpoint& checkpoint, int vocab_size,
                                         const std::string& text, std::optional<int32_t>& bos) {
  constexpr std::string_view kRandom = "random:";
  if (text.starts_with(kRandom)) {
    std::mt19937 random(1);
    std::vector<int32_t> tokens(std::strtoul(text.c_str() + kRandom.size(), nullptr, 10));
    for (int32_t& token : tokens)
      token = static_cast<int32_t>(random() % static_cast<uint32_t>(vocab_size));
    return tokens;
  }
  ASSIGN_OR_RETURN(const service::LoadedTokenizer loaded,
                   service::read_tokenizer(checkpoint, vocab_size));
  std::ostringstream content;
  content << std::ifstream(text).rdbuf();
  if (loaded.tokenizer->adds_bos()) bos = loaded.tokenizer->bos();
  return loaded.tokenizer->encode(content.str(), true, text::Specials::kText);
}

/// A line of /proc/self/status in MiB; 0 where there is none.
long process_mib(std::string_view name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name)) return std::atol(line.c_str() + name.size() + 1) / 1024;
  return 0;
}

Result<void> measure(const Args& args) {
  ASSIGN_OR_RETURN(const store::Checkpoint checkpoint, store::Checkpoint::open(args.model));
  ASSIGN_OR_RETURN(const store::ModelConfig config, checkpoint.config());
  std::optional<int32_t> bos;
  ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                   read_tokens(checkpoint, config.vocab_size, args.text, bos));
  const auto kv_type = args.kv_type == "int8" ? nn::KvType::kInt8 : nn::KvType::kF16;
  ASSIGN_OR_RETURN(ModelDriver driver,
                   ModelDriver::open(checkpoint, backend_of(args), args.context, kv_type));
  const int first = args.context / 2;
  const int chunks = std::min(args.chunks, static_cast<int>(tokens.size()) / args.context);
  double nll = 0;
  int scored = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int c = 0; c < chunks; ++c) {
    std::vector<int32_t> chunk(tokens.begin() + c * args.context,
                               tokens.begin() + (c + 1) * args.context);
    if (bos) chunk[0] = *bos;
    const std::vector<float> logits = driver.run(chunk, 0, first);
    for (int i = first; i + 1 < args.context; ++i, ++scored) {
      nll += negative_log_likelihood(
          logits.data() + static_cast<size_t>(i - first) * static_cast<size_t>(driver.vocab()),
          driver.vocab(), chunk[static_cast<size_t>(i + 1)]);
    }
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (scored == 0)
    return fail(Code::kInvalidArgument, "the text is shorter than one chunk", "TEXT");
  std::printf(
      "{\"ops\": \"%s\", \"kv_type\": \"%s\", \"tokens\": %d, \"chunks\": %d, \"scored\": %d, "
      "\"perplexity\": %.5f, "
      "\"tokens_per_s\": %.1f, \"peak_mib\": %ld, \"anonymous_mib\": %ld}\n",
      args.ops.c_str(), args.kv_type.c_str(), chunks * args.context, chunks, scored,
      std::exp(nll / scored), chunks * args.context / seconds, process_mib("VmHWM:"),
      process_mib("RssAnon:"));
  return {};
}

int main_(int argc, char** argv) {
  Args args;
  std::vector<std::string> positional;
  for (int i = 1; i < argc; ++i) {
    const auto value = [&] { return i + 1 < argc ? argv[++i] : ""; };
    if (std::strcmp(argv[i], "--ops") == 0)
      args.ops = value();
    else if (std::strcmp(argv[i], "--kv-type") == 0)
      args.kv_type = value();
    else if (std::strcmp(argv[i], "--threads") == 0)
      args.threads = std::atoi(value());
    else if (std::strcmp(argv[i], "--context") == 0)
      args.context = std::atoi(value());
    else if (std::strcmp(argv[i], "--chunks") == 0)
      args.chunks = std::atoi(value());
    else
      positional.push_back(argv[i]);
  }
  if (positional.size() != 2 || args.context < 4) {
    std::fprintf(
        stderr,
        "usage: pippin_perplexity MODEL.gguf TEXT|random:N [--ops fast|reference|quantised|exact] "
        "[--kv-type "
        "f16|int8] [--threads N] [--context C] [--chunks N]\n");
    return 2;
  }
  args.model = positional[0];
  args.text = positional[1];
  if (auto result = measure(args); !result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace pippin::test

int main(int argc, char** argv) { return pippin::test::main_(argc, argv); }
