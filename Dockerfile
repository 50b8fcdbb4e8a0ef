# docker build -t igllm . && docker run --rm -v "$PWD:/work" igllm demo
# The image holds Blender (bpy), which is GPL; igllm itself is Apache-2.0.
FROM python:3.11-slim

COPY apt.txt /igllm/
RUN apt-get update \
    && sed 's/#.*//' /igllm/apt.txt | xargs apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/*

COPY pyproject.toml constraints.txt README.md LICENSE igllm.py /igllm/
COPY datagen /igllm/datagen
COPY blender_scenes /igllm/blender_scenes
COPY model /igllm/model
COPY render /igllm/render
RUN pip install --no-cache-dir -c /igllm/constraints.txt /igllm

WORKDIR /work
ENTRYPOINT ["igllm"]
