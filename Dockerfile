# One image for every role: the environment variable ROLE says what a container does.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/matchstream

COPY requirements/app.txt requirements/app.txt
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements/app.txt

COPY faust.conf.py ./
COPY app app
COPY agents agents
COPY tables tables
COPY web web

RUN useradd --system --uid 10001 --no-create-home matchstream \
    && install -d -o matchstream /var/lib/matchstream
USER matchstream
VOLUME /var/lib/matchstream
ENV WEB_BIND=0.0.0.0 APP_DATADIR=/var/lib/matchstream

HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['WEB_PORT'] + '/readyz', timeout=2)"]
CMD ["python", "-m", "faust", "-A", "app", "worker", "-l", "info"]
