// Any bytes, read as a safetensors file, and as the config.json and the weights of a model: an
// error, or tensors whose bytes lie inside the file's and make their values. The first byte says
// how much is the configuration, in units of 16 bytes. Run: safetensors_fuzz -max_len=65536
// -rss_limit_mb=1024 CORPUS
#include <cstdlib>
#include <span>

#include "store/hf_config.h"
#include "store/hf_tensors.h"
#include "store/safetensors.h"
#include "store/unpack.h"
#include "target.h"

using namespace pippin;

namespace {

bool lies_inside(std::span<const std::byte> part, std::span<const std::byte> bytes) {
  return part.data() >= bytes.data() && part.data() + part.size() <= bytes.data() + bytes.size();
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  if (input.empty()) return;
  const size_t config_bytes = std::min<size_t>(input.size() - 1, size_t{byte_at(input, 0)} * 16);
  const std::string_view config_text = input.substr(1, config_bytes);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(input.substr(1 + config_bytes)));
  auto config = store::read_hf_config(config_text, "config.json");
  auto file = store::SafetensorsFile::parse(bytes, "fuzz.safetensors");
  if (!file.ok()) return;
  for (const store::SafetensorsEntry& entry : file->entries())
    if (!entry.bytes.empty() && !lies_inside(entry.bytes, bytes)) std::abort();
  if (!config.ok()) return;
  std::vector<store::SafetensorsFile> files;
  files.push_back(std::move(file).value());
  const auto tensors = store::hf_tensors(files, *config, "fuzz");
  if (!tensors.ok()) return;
  for (const store::TensorView& tensor : *tensors) {
    if (tensor.transposed) continue;  // of experts, which are copied one at a time
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    store::dequantize(store::unpack(tensor), values);
  }
}
