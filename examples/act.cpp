// Acts by an exported policy in C++, through onnxruntime's C API: no Python, no torch.
//
//     robometa export policies/half-cheetah-velocity-rl2 --out exports/velocity-rl2
//     g++ -std=c++17 -O2 -I ONNXRUNTIME/include examples/act.cpp -L ONNXRUNTIME/lib -lonnxruntime -o act
//     ./act exports/velocity-rl2/step.onnx < observations.txt
//
// A line of input is an observation, the last action's reward and its end (0 or 1); at the first line both are 0. A line
// of output is the action, in the actuators' units. It serves policies whose adaptation begins with zeros, such as the
// memories of rl2 and hypernetwork; contract.json has the beginning of every other one.
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

static const OrtApi* ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);

static void check(OrtStatus* status) {
    if (status == nullptr) return;
    const std::string text = ort->GetErrorMessage(status);
    ort->ReleaseStatus(status);
    throw std::runtime_error(text);
}

// A graph, and a row of numbers for each of its inputs and outputs, which it reads and writes in place.
struct Step {
    OrtEnv* env = nullptr;
    OrtSession* session = nullptr;
    OrtIoBinding* binding = nullptr;
    OrtMemoryInfo* memory = nullptr;
    OrtAllocator* allocator = nullptr;
    std::map<std::string, std::vector<float>> rows;
    std::vector<std::pair<std::string, std::string>> carried;  // an input, and the output that is its next value

    explicit Step(const char* path) {
        OrtSessionOptions* options = nullptr;
        check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "act", &env));
        check(ort->CreateSessionOptions(&options));
        check(ort->SetIntraOpNumThreads(options, 1));
        check(ort->CreateSession(env, path, options, &session));
        ort->ReleaseSessionOptions(options);
        check(ort->CreateIoBinding(session, &binding));
        check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
        check(ort->GetAllocatorWithDefaultOptions(&allocator));
        bind(true);
        bind(false);
        for (const auto& [name, row] : rows)
            if (rows.count(name + "_next")) carried.emplace_back(name, name + "_next");
    }

    void bind(bool input) {
        size_t count = 0;
        check(input ? ort->SessionGetInputCount(session, &count) : ort->SessionGetOutputCount(session, &count));
        for (size_t place = 0; place < count; ++place) {
            char* raw = nullptr;
            OrtTypeInfo* type = nullptr;
            const OrtTensorTypeAndShapeInfo* info = nullptr;
            int64_t shape[2];
            check(input ? ort->SessionGetInputName(session, place, allocator, &raw)
                        : ort->SessionGetOutputName(session, place, allocator, &raw));
            check(input ? ort->SessionGetInputTypeInfo(session, place, &type)
                        : ort->SessionGetOutputTypeInfo(session, place, &type));
            check(ort->CastTypeInfoToTensorInfo(type, &info));
            check(ort->GetDimensions(info, shape, 2));
            std::vector<float>& row = rows[raw];
            row.assign(shape[1], 0.0f);
            OrtValue* value = nullptr;
            check(ort->CreateTensorWithDataAsOrtValue(memory, row.data(), row.size() * sizeof(float), shape, 2,
                                                      ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
            check(input ? ort->BindInput(binding, raw, value) : ort->BindOutput(binding, raw, value));
            ort->ReleaseValue(value);
            ort->ReleaseTypeInfo(type);
            check(ort->AllocatorFree(allocator, raw));
        }
    }

    // One step; the adaptation and the emitted action, which the next step sees unclipped, are carried on.
    const std::vector<float>& run() {
        check(ort->RunWithBinding(session, nullptr, binding));
        for (const auto& [name, next] : carried) std::copy(rows[next].begin(), rows[next].end(), rows[name].begin());
        const std::vector<float>& emitted = rows["emitted_action"];
        if (rows.count("last_action")) std::copy(emitted.begin(), emitted.end(), rows["last_action"].begin());
        return rows["action"];
    }
};

int main(int count, char** words) try {
    if (count != 2) throw std::runtime_error("usage: act STEP.onnx < observations.txt");
    Step step(words[1]);
    std::vector<float>& obs = step.rows.at("obs");
    for (std::vector<float> line(obs.size() + 2);;) {
        for (float& number : line) {
            std::string word;  // not a number at once: a stream ends at "nan"
            if (!(std::cin >> word)) return 0;
            char* end = nullptr;
            number = std::strtof(word.c_str(), &end);
            if (*end != 0 || !std::isfinite(number)) throw std::runtime_error(word + " is not finite, or no number");
        }
        std::copy(line.begin(), line.end() - 2, obs.begin());
        step.rows["last_reward"].assign(1, line[obs.size()]);
        step.rows["last_done"].assign(1, line[obs.size() + 1]);
        std::cout.precision(9);
        for (float number : step.run()) std::cout << number << ' ';
        std::cout << std::endl;
    }
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
}
